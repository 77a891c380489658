#!/usr/bin/env python3
"""lazarr beside its peers: the same stores, the same selections, equal answers, one table.

Each (engine, workload) runs in a process of its own: warm page cache, handle opened outside the clock (but
for the workload `open`), one discarded call, then the best of five. The discarded call is shown as `first`.
Peak is the growth of the process during that first call: the kernel's high-water mark less what was resident
just before. Requests are counted in a further call; `reads` are the process's read calls by the kernel's
count, the same rod for every engine.

Examples:
    make bench
    make bench BENCH_ARGS="--cells 50000 --layouts lz4 --workloads rows,random"
    make bench BENCH_ARGS=--full
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from engines import WORKLOADS, engines

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = HERE / "data"
PACKAGES = ("lazarr", "anndata", "zarr", "zarrs", "numcodecs", "dask", "numpy", "scipy", "pandas")

Answer = dict[str, Any]


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    head = git("rev-parse", "--short=12", "HEAD") or "unknown"
    # The table itself is what a run changes.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS.md")
    return head + (" and uncommitted changes" if changed else "")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def make_store(cells: int, genes: int, density: float, layout: str) -> Path:
    """The cached store of these sizes; made when absent."""
    path = DATA / f"{cells}x{genes}-{density:g}-{layout}.zarr"
    if not path.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        words = ["--cells", cells, "--genes", genes, "--density", density, "--layout", layout, "--out", path]
        subprocess.run([sys.executable, ROOT / "tools" / "make_store.py", *map(str, words)], check=True)
    return path


def warm(path: Path) -> int:
    """Read every file once, so that all engines meet the same page cache; the size on disk."""
    total = 0
    for file in path.rglob("*"):
        if file.is_file():
            with file.open("rb") as f:
                while block := f.read(1 << 22):
                    total += len(block)
    return total


def run_worker(job: dict[str, Any], timeout: float) -> Answer:
    words = [sys.executable, HERE / "worker.py", json.dumps(job)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done within {timeout:.0f} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": lines[-1][:200]}
    answer: Answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def milliseconds(seconds: float) -> str:
    ms = seconds * 1000
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def megabytes(count: int | None) -> str:
    if count is None:
        return "–"
    mb = count / 1e6
    return f"{mb:.2f}" if mb < 10 else f"{mb:,.0f}"


def row(name: str, answer: Answer, reference: Answer | None) -> str:
    best = answer["best_s"]
    ratio = f"{best / reference['best_s']:.2f}" if reference and "best_s" in reference else "–"
    requests = "–" if answer["requests"] is None else f"{answer['requests']:,}"
    reads = "–" if answer["kernel_reads"] is None else f"{answer['kernel_reads']:,}"
    growth = megabytes(answer["growth_bytes"]) + ("" if answer["growth_exact"] else " (≤)")
    shown = milliseconds(best) + ("" if answer["repeats"] >= 5 else f" (of {answer['repeats']})")
    cells = [
        name,
        shown,
        ratio,
        milliseconds(answer["first_s"]),
        growth,
        megabytes(answer["result_bytes"]),
        requests,
        megabytes(answer["request_bytes"]),
        reads,
        megabytes(answer["kernel_bytes"]),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| engine | best ms | / lazarr | first ms | peak MB | result MB "
    "| requests | MB asked | reads | MB read |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def bench_store(path: Path, args: argparse.Namespace, facts: dict[str, Any]) -> tuple[list[str], bool]:
    """The tables of one store as lines, and whether all answers agree."""
    cells = facts["cells"]
    rng = np.random.default_rng(1)
    count = min(1000, cells // 2)
    start = cells // 3
    job = {
        "path": str(path),
        "contiguous": [start, start + count],
        "random": np.sort(rng.choice(cells, size=count, replace=False)).tolist(),
        "repeat": args.repeat,
    }
    lines = [f"## {facts['title']}", "", f"{facts['disk'] / 1e6:,.0f} MB on disk.", ""]
    agree = True
    for workload in args.workloads:
        answers: dict[str, Answer] = {}
        for engine in args.engines:
            answers[engine] = run_worker({**job, "engine": engine, "workload": workload}, args.timeout)
            facts["raw"].append(
                {"store": path.name, "workload": workload, "engine": engine, **answers[engine]}
            )
        notes: list[str] = []
        skipped: dict[str, list[str]] = {}
        lines += [f"### {WORKLOADS[workload]}", "", HEAD]
        for name, answer in answers.items():
            if "best_s" in answer:
                lines.append(row(name, answer, answers.get("lazarr")))
            elif "skipped" in answer:
                skipped.setdefault(answer["skipped"], []).append(name)
            else:
                notes.append(f"FAILED: {name}: {answer['error']}")
        notes += [f"left out, {why}: {'; '.join(names)}" for why, names in skipped.items()]
        digests = {a["digest"] for a in answers.values() if "digest" in a}
        if len(digests) > 1:
            agree = False
            notes += [f"DIFFERENT ANSWERS: {n}: {a['digest']}" for n, a in answers.items() if "digest" in a]
        lines += ["", *(f"- {note}" for note in notes), *([""] if notes else [])]
        begin = next(i for i in range(len(lines) - 1, -1, -1) if lines[i].startswith("###"))
        print("\n".join(lines[begin:]), flush=True)
    return lines, agree


def choose(text: str | None, known: list[str], what: str) -> list[str]:
    """The named ones of a list; a word picks every engine that begins with it."""
    if text is None:
        return known
    chosen = [k for k in known if any(k == w or k.startswith(w) for w in text.split(","))]
    if not chosen:
        raise SystemExit(f"error: no {what} begins with {text!r}; there are: {', '.join(known)}")
    return chosen


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--density", type=float, default=0.072)
    parser.add_argument(
        "--full", action="store_true", help="200,000 cells: 430M non-zeros, about 2 GB of stores"
    )
    parser.add_argument("--layouts", default="default,lz4", help="of tools/make_store.py (default,lz4)")
    parser.add_argument("--engines", help="comma-separated beginnings of names")
    parser.add_argument("--workloads", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one engine and workload")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    args = parser.parse_args()
    args.engines = choose(args.engines, [e.name for e in engines()], "engine")
    args.workloads = choose(args.workloads, list(WORKLOADS), "workload")
    if args.full:
        args.cells = 200_000
    return args


def main() -> int:
    args = parse()
    command = " ".join(["python", "bench/run.py", *sys.argv[1:]])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        "# Results",
        "",
        "Written by `make bench`; what the columns mean stands at the top of `bench/run.py`.",
        "",
        f"- command: `{command}`",
        f"- commit: {commit()}",
        f"- versions: {versions()}",
        f"- machine: {cores} cores, {platform.system()} {platform.machine()}; local files, warm page cache",
        f"- best of {args.repeat} after one discarded call; the peers with each of zarr's pipelines",
        "",
    ]
    print("\n".join(lines))
    raw: list[dict[str, Any]] = []
    agree = True
    for layout in args.layouts.split(","):
        path = make_store(args.cells, args.genes, args.density, layout)
        title = f"{args.cells:,} cells × {args.genes:,} genes, layout `{layout}`"
        facts = {"title": title, "cells": args.cells, "disk": warm(path), "raw": raw}
        print(f"## {title}\n", flush=True)
        tables, same = bench_store(path, args, facts)
        lines += tables
        agree &= same
    (DATA / "last.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    lines.append(
        "All engines gave equal answers (values, structure and order)."
        if agree
        else "**Some engines gave different answers: see above.**"
    )
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"\n{lines[-1]}\nwritten: {args.out}")
    failed = [r for r in raw if r["engine"] == "lazarr" and "error" in r]
    return 0 if agree and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
