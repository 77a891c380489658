#!/usr/bin/env python3
"""The long runs: `make campaign`; `CAMPAIGN="random"` picks some, `CAMPAIGN=list` names them.

The outcome of each is written into bench/RESULTS.md, between `<!-- campaign NAME -->` and
`<!-- /campaign -->`, with the commit it was made on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Campaign:
    """A long run: what it shows, about how long it takes on two cores, its command and what is set for it."""

    about: str
    minutes: int
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "."
    program: str = sys.executable
    recorded: bool = False
    """Whether what it says at the end is written into RESULTS.md."""


def tests(about: str, minutes: int, file: str, **environment: str) -> Campaign:
    """A test of the suite with larger numbers; a fixed share of it runs in `make test`."""
    command = ("-m", "pytest", "-q", "-n", "2", f"tests/{file}")
    return Campaign(about, minutes, command, environment, "python", recorded=True)


FAR = (
    *("test", "--quiet", "--release", "--package", "lazarr", "--features", "remote"),
    *("--test", "far"),
)

CAMPAIGNS: dict[str, Campaign] = {
    "random": tests(
        "500 random stores x 20 random selections, audited, equal to anndata: values, structure, order",
        15,
        "test_random.py",
        LAZARR_STORES="500",
    ),
    "predicates": tests(
        "2,000 random predicates with missing values, equal to pandas",
        5,
        "test_predicates.py",
        LAZARR_PREDICATES="2000",
    ),
    "concat": tests(
        "1,000 random sets of stores concatenated and selected, audited, equal to anndata.concat",
        15,
        "test_concat.py",
        LAZARR_CONCATS="1000",
    ),
    "writes": tests(
        "300 random AnnData, from memory and lazily, through every preset, v2 and v3: anndata reads the same",
        40,
        "test_write.py",
        LAZARR_WRITES="300",
    ),
    "older": tests(
        "100 random AnnData: anndata 0.11 and 0.12, zarr-python 2 and 3 and zarrs read what today's read",
        5,
        "test_older.py",
        LAZARR_OLDER="100",
    ),
    "writes-corpus": tests(
        "every store of the corpus through every preset as v2 and v3: digests equal",
        10,
        "test_write_corpus.py",
        LAZARR_WRITES="1",
    ),
    "kills": Campaign(
        "each operation of a writer fails, and is its last (kill -9): the old store or the new one, whole",
        15,
        ("test", "--quiet", "--package", "lazarr", "--test", "write", "--", "--nocapture"),
        {"LAZARR_EVERY": "1", "LAZARR_WRITES": "300"},
        program="cargo",
        recorded=True,
    ),
    "kills-changes": Campaign(
        "the same of appending, of elements that are put in and of a store that takes them",
        8,
        ("test", "--quiet", "--package", "lazarr", "--test", "append", "--", "--nocapture"),
        {"LAZARR_EVERY": "1"},
        program="cargo",
        recorded=True,
    ),
    "mutation": Campaign(
        "50,000 stores damaged at random: exact data or a typed error wherever the bytes allow that",
        15,
        ("test", "--quiet", "--package", "lazarr", "--test", "mutation"),
        {"LAZARR_MUTATIONS": "50000"},
        program="cargo",
        recorded=True,
    ),
    "economy": Campaign(
        "what operations on 200,000 cells cost at 50 ms and at 1 ms, beside the cheapest way to do them",
        10,
        (*FAR, *("all_operations_cost", "--", "--ignored", "--nocapture")),
        program="cargo",
        recorded=True,
    ),
    "faults": Campaign(
        "17 faults of networks x 13 operations x 50 seeds, sharded and not",
        30,
        (*FAR, *("fifty_seeds", "--", "--ignored", "--nocapture")),
        program="cargo",
        recorded=True,
    ),
    "ctrl-c": Campaign(
        "from Ctrl-C to its exception, while a server is silent: opening, reading and writing, 20 times each",
        3,
        ("bench/ctrl_c.py",),
        recorded=True,
    ),
    "distance": Campaign(
        "lazarr beside its peers, 50 ms added to every request, 20,000 cells, two layouts",
        20,
        ("bench/distance.py", "--write"),
    ),
    "scale": Campaign(
        "a simulated catalog of 10^8 cells: times beside the floors of what must be read, and growth",
        10,
        ("run", "--quiet", "--release", "--package", "lazarr", "--example", "scale"),
        program="cargo",
        recorded=True,
    ),
    "memory-cases": Campaign(
        "248 stores x selections: growth of the process beside the result and the plan",
        6,
        ("bench/memory.py", "cases"),
        recorded=True,
    ),
    "memory-limits": Campaign(
        "60 workloads x limits, each a process of its own: it grows by no more, and refuses only what is due",
        6,
        ("bench/memory.py", "limits"),
        recorded=True,
    ),
    "memory-streams": Campaign(
        "X in blocks of rows under an eighth of what collecting takes, beside the same without a limit",
        6,
        ("bench/memory.py", "streams"),
        recorded=True,
    ),
    "memory-writes": Campaign(
        "writing half of the cells, two stores as one, csr to csc and back, under a tenth of the source",
        8,
        ("bench/memory_writes.py",),
        recorded=True,
    ),
    "cluster": Campaign(
        "from counts to components on a Dask cluster of two processes, 200,000 cells, beside read_lazy",
        8,
        ("bench/cluster.py",),
        recorded=True,
    ),
    "writing": Campaign(
        "X of 200,000 cells into shards, half of its cells, transposed: beside anndata, zarrs and the floor",
        8,
        ("bench/writing.py",),
        recorded=True,
    ),
    "bench": Campaign("lazarr beside its peers on 20,000 cells, two layouts", 15, ("bench/run.py",)),
    "bench-full": Campaign(
        "lazarr beside its peers on 200,000 cells; all layouts",
        60,
        ("bench/run.py", "--full"),
    ),
}
DEFAULT = ("bench", "random", "predicates", "mutation", "scale")


def commit() -> str:
    """The commit that the figures belong to, marked where the tree has changes."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=HERE, capture_output=True, text=True, check=True
        ).stdout.strip()

    dirty = git("status", "--porcelain", "--untracked-files=no", "--", "..", ":!RESULTS.md")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if dirty else "")


def record(name: str, about: str, seed: str, said: str, seconds: float) -> None:
    """Writes the outcome of a campaign into its place in RESULTS.md."""
    page = HERE / "RESULTS.md"
    text = page.read_text(encoding="utf-8") if page.exists() else "# Results\n"
    block = (
        f"<!-- campaign {name} -->\n### {name}: {about}\n\nseed {seed}, commit {commit()}, "
        f"`make campaign CAMPAIGN={name}`, {seconds:.0f} s: {said}\n<!-- /campaign -->"
    )
    place = re.compile(rf"<!-- campaign {name} -->.*?<!-- /campaign -->", re.DOTALL)
    text = place.sub(lambda _: block, text) if place.search(text) else f"{text.rstrip()}\n\n{block}\n"
    page.write_text(text, encoding="utf-8")


def outcome(name: str, lines: list[str]) -> str:
    """What a campaign says at the end: the line that begins with its name (else its last), and its table."""
    table = "\n".join(line for line in lines if line.startswith("|"))
    own = next((line for line in reversed(lines) if line.startswith(f"{name}: ")), None)
    last = next((line.strip("= ") for line in reversed(lines) if line), "it said nothing")
    said = last if own is None else own.removeprefix(f"{name}: ")
    return f"{said}\n\n{table}" if table else said


def run(name: str) -> bool:
    """Runs a campaign, shows what it says, and records how it ends."""
    campaign = CAMPAIGNS[name]
    seed = os.environ.get("LAZARR_SEED", "20251")
    print(f"── {name}: {campaign.about} (seed {seed})", flush=True)
    start = time.monotonic()
    lines: list[str] = []
    process = subprocess.Popen(
        [campaign.program, *campaign.command],
        cwd=HERE.parent / campaign.folder,
        env={**os.environ, **campaign.environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line.strip())
    passed = process.wait() == 0
    if campaign.recorded:
        record(name, campaign.about, seed, outcome(name, lines), time.monotonic() - start)
    print(f"{name}: {'passed' if passed else 'FAILED'}", flush=True)
    return passed


def main() -> int:
    names = sys.argv[1:] or list(DEFAULT)
    if names == ["list"]:
        width = max(map(len, CAMPAIGNS))
        for name, campaign in CAMPAIGNS.items():
            print(f"  {name:<{width}}  about {campaign.minutes} min: {campaign.about}")
        return 0
    unknown = [n for n in names if n not in CAMPAIGNS]
    if unknown:
        print(f"error: no campaign {', '.join(unknown)}; there are: {', '.join(CAMPAIGNS)}", file=sys.stderr)
        return 2
    outcomes = [run(name) for name in names]
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
