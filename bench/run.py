#!/usr/bin/env python3
"""lazarr beside the floor and its peers: the same stores, the same selections, equal answers, one table.

Each (engine, workload) runs in a process of its own: warm page cache, handle opened outside the clock (but
for the workload `open`), one discarded call, then the best of five or more. The discarded call is shown as
`first`. The floor (bench/floor) and lazarr run by turns, two calls each, since the machine drifts over
minutes; so does whatever else a target compares with. Peers run after them. Peak is the growth of the
process during the first call: the kernel's high-water mark less what was resident just before. Requests are
counted in a further call; `reads` are the process's read calls by the kernel's count, the same rod for every
engine.

Results are written (bench/RESULTS.md, bench/RESULTS-PEERS.md) by a run of all engines and workloads, or with
`--write`; a quick look only prints.

Examples:
    make bench                                   # 20,000 cells
    make bench BENCH_ARGS=--full                 # 200,000 cells
    make bench BENCH_ARGS="--engines lazarr,floor --workloads random,all --layouts lz4,default --full"
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distance import TITLES as FAR
from distance import arguments as far_arguments
from distance import distance
from lockstep import Participant, alternate, build_floor
from others import make_cellstream
from readers import engines
from report import main_table, peer_table, replace
from sections import cores, small_chunks
from stores import DATA, facts_of, store_of, warm
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = (
    "lazarr",
    "anndata",
    "zarr",
    "zarrs",
    "numcodecs",
    "dask",
    "numpy",
    "scipy",
    "pandas",
    "cellstream",
)

Answer = dict[str, Any]


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    head = git("rev-parse", "--short=12", "HEAD") or "unknown"
    # The tables themselves are what a run changes.
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS*.md")
    return head + (" and uncommitted changes" if changed else "")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def run_worker(job: dict[str, Any], timeout: float) -> Answer:
    """A peer by itself."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(job, file)
        file.flush()
        words = [sys.executable, str(HERE / "worker.py"), file.name]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"not done within {timeout:.0f} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": lines[-1][:200].replace(f"{DATA}/", "")}
    answer: Answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def by_turns(
    path: Path, layout: str, name: str, facts: dict[str, Any], args: argparse.Namespace
) -> dict[str, Answer]:
    """lazarr, its floors, and whatever a target compares with."""
    workload = WORKLOADS[name]
    taking: list[Participant] = []
    for label, job in (("floor", workload.floor), ("full floor", workload.full)):
        if job is not None and "floor" in args.engines:
            taking.append(Participant.floor(label, args.floor, {"store": str(path), **job(facts)}))
    if "lazarr" in args.engines:
        compared = workload.beside if {layout, "*"} & set(workload.beside_ratio) else None
        for engine in ["lazarr", *([compared] if compared else [])]:
            job = {"engine": engine, "workload": name, "path": str(path), "facts": facts}
            taking.append(Participant.worker(job))
    alternate(taking, least=args.repeat, seconds=args.seconds)
    answers = {}
    for one in taking:
        answer = dict(one.facts)
        if one.best is not None:
            answer |= {"best_s": one.best, "repeats": len(one.times), "all_s": one.times}
            if one.cpu:
                answer["cpu_s"] = min(one.cpu)
        answers[one.label] = answer
    return answers


def bench_store(path: Path, layout: str, args: argparse.Namespace, facts: dict[str, Any]) -> dict[str, Any]:
    """The answers of one store: by workload, then by engine."""
    seen: dict[str, dict[str, Answer]] = {}
    for name in args.workloads:
        if WORKLOADS[name].store != (layout if layout in ALONE else None):
            continue
        if not args.named and name not in ONLY.get(layout, args.workloads):
            continue
        answers = by_turns(path, layout, name, facts, args)
        for engine in args.engines:
            if engine in answers or engine in ALWAYS_BY_TURNS:
                continue
            if args.offers[engine](name):
                job = {"engine": engine, "workload": name, "path": str(path), "facts": facts}
                job |= {"repeat": args.repeat, "patience_s": args.patience}
                answers[engine] = run_worker(job, args.timeout)
        seen[name] = answers
        print("\n".join(main_table(layout, {name: answers})), flush=True)
        if len(answers) > 4:
            print("\n".join(["", *peer_table(answers)]), flush=True)
    return seen


ALWAYS_BY_TURNS = ("floor", "lazarr", "lazarr to_arrow, pyarrow to_pandas")
# Stores that are there for one workload.
ALONE = {w.store for w in WORKLOADS.values() if w.store is not None}


# What is asked of the layouts that are not the main ones, where no workload is named.
ONLY = {
    "small": ["rows", "random", "repeats", "category", "all"],
    "inner4k": ["random", "all"],
    "inner16k": ["random", "all"],
    "inner64k": ["rows", "random", "all"],
    "blosc-zstd": ["rows", "random", "all"],
    "rows": ["random", "all"],
    "gzip": ["random", "all"],
    "uncompressed": ["random", "all"],
}
LAYOUTS = ["lz4", "default", *ONLY, *sorted(ALONE)]


def choose(text: str | None, known: list[str], what: str) -> list[str]:
    """The named ones of a list; a word picks all that begin with it."""
    if text is None:
        return known
    words = text.split(",")
    chosen = [k for k in known if any(k == w or (w not in known and k.startswith(w)) for w in words)]
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
    parser.add_argument("--full", action="store_true", help="200,000 cells: 430M non-zeros, 1 GB a store")
    parser.add_argument(
        "--layouts", help=f"of {', '.join(LAYOUTS)}; lz4,default where engines or workloads are named"
    )
    parser.add_argument("--sections", help="of cores, small, distance; all in a run of everything")
    parser.add_argument("--engines", help="comma-separated beginnings of names; `floor` is one")
    parser.add_argument("--workloads", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--repeat", type=int, default=5, help="calls after the discarded one, at least")
    parser.add_argument("--seconds", type=float, default=3.0, help="short calls are repeated for so long")
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds after which a peer is repeated less"
    )
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one engine and workload")
    parser.add_argument("--profile", default="quick", help="of the floor: its work is in C libraries")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md even if not all was run")
    far_arguments(parser)
    args = parser.parse_args()
    args.all = args.engines is None and args.workloads is None
    args.named = args.workloads is not None
    args.sections = "cores,small,distance" if args.all and args.sections is None else args.sections or ""
    if args.layouts is None:
        # The layer and the hollow stores are there for one workload each.
        mine = [WORKLOADS[name].store for name in (args.workloads or "").split(",") if name in WORKLOADS]
        named = ",".join(name for name in mine if name) if args.workloads else ""
        args.layouts = ",".join(LAYOUTS) if args.all else named or "lz4,default"
    args.offers = {e.name: e.offers for e in engines()}
    args.engines = choose(args.engines, ["floor", *(e.name for e in engines())], "engine")
    args.workloads = choose(args.workloads, list(WORKLOADS), "workload")
    if args.full:
        args.cells = 200_000
    args.floor = build_floor(args.profile) if "floor" in args.engines else None
    return args


def main() -> int:
    args = parse()
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    head = [
        f"- command: `python bench/run.py {' '.join(sys.argv[1:])}`",
        f"- commit: {commit()}",
        f"- versions: {versions()}",
        f"- machine: {processors} cores, {platform.machine()}; local files, warm page cache",
        f"- lazarr and floor by turns, best of {args.repeat} or more after one discarded call; "
        "the peers with each of zarr's pipelines",
        "",
    ]
    print("\n".join(head), flush=True)
    lines, peers, raw, failed = list(head), list(head), [], []
    for layout in args.layouts.split(","):
        path = store_of(args.cells, args.genes, args.density, layout)
        facts = facts_of(path)
        disk = warm(path)
        if "cellstream" in args.engines and layout not in ALONE:
            make_cellstream(path)
        size = f"{facts['cells']:,} cells × {facts['n_genes']:,} genes"
        title = f"{size}, layout `{layout}`, {disk / 1e6:,.0f} MB on disk"
        print(f"## {title}\n", flush=True)
        seen = bench_store(path, layout, args, facts)
        raw.append({"store": path.name, "layout": layout, "seen": seen})
        table = main_table(layout, seen)
        print("\n".join(["", f"### {title}", "", *table, ""]), flush=True)
        lines += [f"### {title}", "", *table, ""]
        peers += [f"## {title}", ""]
        for name, answers in seen.items():
            peers += [f"### {WORKLOADS[name].title}", "", *peer_table(answers)]
            if "error" in answers.get("lazarr", {}):
                failed.append(f"{layout} {name}: {answers['lazarr']['error']}")
            if len({a["digest"] for a in answers.values() if "digest" in a}) > 1:
                failed.append(f"{layout} {name}: different answers")
    if "small" in args.sections:
        lines += small_chunks(args)
    if "cores" in args.sections:
        lines += cores(args, ["lz4", "default"])
    if "distance" in args.sections:
        words = {"engines": ["read_lazy", "sparse_dataset", "eager"], "workloads": list(FAR), "repeat": 3}
        more, wrong = distance(argparse.Namespace(**{**vars(args), **words}))
        lines += more
        failed += wrong
    print("\n".join(lines[lines.index("") :] if args.sections else []))
    (DATA / "last.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    lines.append("All engines gave equal answers." if not failed else f"**FAILED: {'; '.join(failed)}**")
    print(f"\n{lines[-1]}")
    if args.all or args.write:
        replace(HERE / "RESULTS.md", str(args.cells), lines)
        replace(HERE / "RESULTS-PEERS.md", str(args.cells), peers)
        print(f"written: {HERE / 'RESULTS.md'}")
    return 0 if not failed else 1


if __name__ == "__main__":
    sys.exit(main())
