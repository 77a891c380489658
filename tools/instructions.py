#!/usr/bin/env python3
"""Count the instructions of the inner loops (crates/lazarr/examples/loops.rs), where a clock is too noisy.

Each loop runs two and six times under valgrind's callgrind; what one run takes is a quarter of the
difference. The counts are compared with the table in bench/INSTRUCTIONS.md: more than 3 % above it fails.
`--write` writes them there. They hold for one compiler and for one kind of processor, whose vector
instructions are chosen at run time.

Example:
    make bench-instructions
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "bench" / "INSTRUCTIONS.md"
LOOPS = ("rows", "random", "gene", "genes", "mean_var", "all", "obs")
LAYOUTS = ("lz4", "zstd")
ALLOWED = 1.03


def build() -> Path:
    words = ["cargo", "build", "--quiet", "--profile", "quick", "--package", "lazarr", "--example", "loops"]
    subprocess.run(words, cwd=ROOT, check=True)
    return ROOT / "target" / "quick" / "examples" / "loops"


def count(program: Path, layout: str, name: str, times: int) -> int:
    words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program)]
    done = subprocess.run([*words, layout, name, str(times)], capture_output=True, text=True, check=False)
    found = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise SystemExit(f"error: valgrind on {layout} {name}: {done.stderr.strip().splitlines()[-1:]}")
    return int(found[1])


def known() -> dict[tuple[str, str], int]:
    if not PAGE.exists():
        return {}
    rows = re.findall(r"^\| (\w+) \| (\w+) \| ([\d,]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {(layout, name): int(n.replace(",", "")) for layout, name, n in rows}


def main() -> int:
    if shutil.which("valgrind") is None:
        print("SKIPPED: valgrind is not installed (Debian's package valgrind)")
        return 0
    program = build()
    before, rows, worse = known(), [], []
    for layout in LAYOUTS:
        for name in LOOPS:
            n = (count(program, layout, name, 6) - count(program, layout, name, 2)) // 4
            old = before.get((layout, name))
            change = "" if old is None else f"{n / old - 1:+.1%}"
            print(f"{layout:5} {name:9} {n:>14,} {change}", flush=True)
            rows.append(f"| {layout} | {name} | {n:,} |")
            if old is not None and n > ALLOWED * old:
                worse.append(f"{layout} {name}")
    if "--write" in sys.argv[1:]:
        version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout
        head = [
            "# Instructions of the inner loops",
            "",
            f"One run each, counted by callgrind (`make bench-instructions`), {version.strip()}.",
            "The store: 4,000 cells × 3,000 genes in memory, about 800,000 stored values in inner chunks",
            "of 16 Ki; one thread.",
            "",
            "| layout | loop | instructions |",
            "|---|---|--:|",
        ]
        PAGE.write_text("\n".join([*head, *rows, ""]), encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    elif worse:
        print(f"error: more than 3 % above bench/INSTRUCTIONS.md: {', '.join(worse)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
