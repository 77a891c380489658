#!/usr/bin/env python3
"""What damaged stores do to anndata and to lazarr, measured: the tables of README.md and docs/damage.md.

Every kind of damage (python/tests/damage, and the corpus where there is one) is read whole by
anndata.read_zarr, by anndata.experimental.read_lazy, and by lazarr through each of its paths, each store in a
process that may crash, hang or eat memory. The outcomes are counted and written between the markers.

Usage: python tools/damage_table.py [--all] [--only SUBSTRING]
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import platform
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "tests"))

import damage.kinds  # noqa: E402, F401 - registers them
from damage import corpus, groups, judge, registry  # noqa: E402
from damage.good import make_good  # noqa: E402
from damage.run import Worker, truth  # noqa: E402
from damage.worker import LIMIT, ROOM  # noqa: E402

BEGIN, END = "<!-- damage-table -->", "<!-- /damage-table -->"
ANNDATA, LAZY, OURS = "anndata", "anndata-lazy", "lazarr"
ENGINES = {ANNDATA: "anndata `read_zarr`", LAZY: "anndata `read_lazy`", OURS: "lazarr"}
ORDER = ["value", "error", "either", "refused", "late", "silent", "memory", "hang", "crash"]
WORDS = {
    "value": "right value",
    "error": "error",
    "either": "error or a value that nothing tells from a right one",
    "refused": "error, though legal",
    "late": "late or unclear error",
    "silent": "**wrong value, silently**",
    "memory": "**memory**",
    "hang": "**hang**",
    "crash": "**crash**",
}
MEMORY = LIMIT + ROOM
"""Bytes by which reading stores of some kilobytes may let a process grow."""


@dataclass
class Case:
    """A damaged store, and what came of it, by engine."""

    name: str
    group: str
    fmt: str
    expect: str
    why: str
    outcomes: dict[str, str] = field(default_factory=dict)


def of_anndata(expect: str, answer: dict, right: dict) -> str:
    """The outcome of reading the whole with anndata."""
    o = answer["outcomes"].get("whole", {})
    if "hang" in o:
        return "hang"
    if "crash" in o or not answer["ended"]:
        return "crash"
    if "memory" in o or o.get("grew", 0) > MEMORY:
        return "memory"
    if expect == "either":
        return "either"
    if "error" in o:
        return "refused" if expect == "value" else "error"
    return "value" if o["value"] == right["whole"]["value"] else "silent"


def of_lazarr(
    case_name: str, expect: str, answer: dict, right: dict, at: str | None, local: bool, shown: bool
) -> str:
    """The worst outcome of all paths."""
    wrong = judge.problems(expect, answer, right, at, local=local, shown=shown)
    for mark, what in (
        ("CRASHES", "crash"),
        ("the process did not", "crash"),
        ("HANGS", "hang"),
        ("MEMORY", "memory"),
        ("SILENT", "silent"),
        ("REFUSED", "refused"),
    ):
        if any(mark in line for line in wrong):
            return what
    if wrong and case_name not in corpus.AT_ROOT:
        return "late"
    return expect


class Bench:
    """Whole stores and processes that read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        make_good(home / "good")
        registry.pack(home / "good" / "v3.zarr", home / "good" / "zip.zarr.zip")
        self.rights: dict[Path, dict] = {}

    def right(self, worker: Worker, good: Path) -> dict:
        if good not in self.rights:
            self.rights[good] = truth(worker, good)
        return self.rights[good]

    def read(
        self,
        worker: Worker,
        case: Case,
        path: Path,
        right: dict,
        at: str | None,
        local: bool = True,
        shown: bool = False,
    ) -> None:
        for engine in ENGINES:
            job = {"engine": engine, "path": str(path), "truth": right["object"], "ceiling": 4 << 30}
            answer = worker.ask(job)
            judged = (case.expect, answer, right["paths"])
            case.outcomes[engine] = (
                of_lazarr(case.name, *judged, at, local, shown) if engine == OURS else of_anndata(*judged)
            )

    def ours(self, worker: Worker, kind: registry.Kind, fmt: str, out: Path) -> Case | None:
        case = Case(kind.name, kind.group, fmt, kind.expect, kind.why)
        try:
            path = registry.make(kind, fmt, self.home / "good", out)
        except registry.NotMadeError:
            return None
        good = self.home / "good" / ("zip.zarr.zip" if fmt == "zip" else f"{fmt}.zarr")
        right = self.right(worker, good)
        if kind.truth == "anndata":
            right = truth(worker, path)
        elif kind.truth is not None:
            right = truth(worker, good, kind.truth)
        self.read(worker, case, path, right, kind.at, kind.local, kind.shown)
        registry.remove(path)
        return case

    def of_corpus(self, worker: Worker, made: Path, name: str, fmt: str, expect: str) -> Case | None:
        path = corpus.made(made).get((name, fmt))
        if path is None:
            return None
        case = Case(name, corpus.group(name), fmt, "value" if expect == "allow" else expect, "of the corpus")
        right = truth(worker, path) if expect == "allow" else self.right(worker, corpus.good(made, fmt))
        self.read(worker, case, path, right, None, name not in corpus.NOT_LOCAL)
        registry.remove(path)
        return case


def measure(only: str, every: bool) -> list[Case]:
    """Every case, in two processes beside each other."""
    cases: list[Case] = []
    home = Path(tempfile.mkdtemp())
    try:
        (home / "good").mkdir()
        bench = Bench(home)
        jobs: list = []
        for kind, fmt in registry.chosen(every):
            if only in kind.name:
                jobs.append((bench.ours, kind, fmt))
        if listed := [item for item in corpus.listed() if only in item[0]]:
            made = home / "corpus"
            corpus.make(made)
            jobs += [(bench.of_corpus, made, *item) for item in listed]
        jobs.reverse()
        total = len(jobs)

        def work(number: int) -> None:
            worker = Worker(home / "good" / "v3.zarr")
            out = home / f"out{number}"
            out.mkdir()
            while jobs:
                run, *what = jobs.pop()
                case = run(worker, *what, *([out] if run == bench.ours else []))
                if case is not None:
                    cases.append(case)
                    print(f"{total - len(jobs)}/{total} {case.fmt} {case.name} {case.outcomes}", flush=True)
            worker.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        registry.remove(home)
    return cases


def counted(outcomes: list[str]) -> str:
    """`error 12, silent 3`: what came how often; the number is left out where it is all."""
    count = collections.Counter(outcomes)
    parts = [(WORDS[what], count[what]) for what in ORDER if count[what]]
    if len(parts) == 1:
        return parts[0][0]
    return ", ".join(f"{word} {n}" for word, n in parts)


def versions() -> str:
    names = ("anndata", "zarr", "numcodecs", "zarrs")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return f"{', '.join(found)}, Python {platform.python_version()}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows]]
    return "\n".join(lines)


def summary(cases: list[Case]) -> str:
    """The lines of the README: what can be told from right, by group, and the odd but legal."""
    rows = []
    for group in [value for name, value in vars(groups).items() if name.isupper()]:
        mine = [c for c in cases if c.group == group and c.expect != "either"]
        if mine:
            rows.append([group, str(len(mine)), *(counted([c.outcomes[e] for c in mine]) for e in ENGINES)])
    every = [c for c in cases if c.expect != "either"]
    rows.append(["**all**", str(len(every)), *(counted([c.outcomes[e] for c in every]) for e in ENGINES)])
    return table(["what is damaged", "stores", *ENGINES.values()], rows)


def full(cases: list[Case]) -> str:
    """A line for each kind, by group."""
    out = []
    for group in [value for name, value in vars(groups).items() if name.isupper()]:
        names = dict.fromkeys(c.name for c in cases if c.group == group)
        rows = []
        for name in names:
            mine = [c for c in cases if c.name == name]
            outcomes = [counted([c.outcomes[e] for c in mine]) for e in ENGINES]
            rows.append(
                [f"`{name}`", mine[0].why, " ".join(c.fmt for c in mine), WORDS[mine[0].expect], *outcomes]
            )
        if rows:
            heads = ["kind", "what and why", "formats", "right would be", *ENGINES.values()]
            out.append(f"### {group[0].upper()}{group[1:]}\n\n{table(heads, rows)}")
    return "\n\n".join(out)


def between(text: str, new: str) -> str:
    """The text with what stands between the markers replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"error: the markers {BEGIN} and {END} are not there")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="kinds whose name contains this; nothing is written")
    parser.add_argument("--all", action="store_true", help="each kind in all its formats, not in one")
    args = parser.parse_args()
    cases = sorted(measure(args.only, args.all), key=lambda c: (c.group, c.name, c.fmt))
    kinds_ = len({c.name for c in cases})
    ours = sum(c.why != "of the corpus" for c in cases)
    either = sum(c.expect == "either" for c in cases)
    line = (
        f"{len(cases)} damaged stores of {kinds_} kinds ({ours} made by this repository, "
        f"{len(cases) - ours} by the corpus), "
        f"{versions()}, lazarr {importlib.metadata.version('lazarr')}. "
    )
    note = (
        f"{either} stores whose damage nothing in the format can tell are not counted here: "
        "what is asked of a reader there is no crash, no hang, no memory. "
    )
    short = f"{line}{note}Of lazarr the worst of all its paths counts.\n\n{summary(cases)}"
    long = f"{line}\n\n{full(cases)}"
    if args.only:
        print(short, long, sep="\n\n")
        return 0
    for path, new in ((ROOT / "README.md", short), (ROOT / "docs" / "damage.md", long)):
        path.write_text(between(path.read_text(encoding="utf-8"), new), encoding="utf-8")
    print(short)
    return 0


if __name__ == "__main__":
    sys.exit(main())
