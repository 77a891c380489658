#!/usr/bin/env python3
"""Break named things one at a time and demand that a test notices: `make mutants`.

The tree (tracked and new files, as they stand) is copied once to target/mutants/tree; each mutant of
tools/mutants.toml is one textual patch there, undone afterwards. Builds go to target/mutants/build, so that
they are incremental and do not disturb the other ones.

Usage: python tools/mutants.py [name ...]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"

# How the runners that we use name a test that failed.
FAILED_TEST = (
    re.compile(r"^test (\S+)(?: - should panic)? \.\.\. FAILED", re.MULTILINE),
    re.compile(r"^\s+FAIL \[.*?\]\s+(?:\(.*?\)\s+)?(\S+ \S+)", re.MULTILINE),
    re.compile(r"^FAILED (\S+)", re.MULTILINE),
    re.compile(r"^ {4}(\S+::\S+)$", re.MULTILINE),
    re.compile(r"thread '([^']+)'.* panicked"),
)


@dataclass(frozen=True)
class Mutant:
    """One patch and the suite that must notice it."""

    name: str
    what: str
    file: str
    old: str
    new: str
    suite: str
    filter: str = ""
    active: bool = True


@dataclass(frozen=True)
class Suite:
    """Two shell commands; `{filter}` in them is the mutant's own."""

    build: str
    test: str


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    ok: bool
    timed_out: bool
    output: str


def fill(command: str, wanted: str) -> str:
    """The command with the tests that are wanted; other braces are the shell's."""
    return command.replace("{filter}", wanted)


def load(path: Path) -> tuple[dict[str, Suite], list[Mutant]]:
    listing = tomllib.loads(path.read_text(encoding="utf-8"))
    suites = {name: Suite(**suite) for name, suite in listing["suites"].items()}
    return suites, [Mutant(**mutant) for mutant in listing["mutant"]]


def check(mutants: list[Mutant], suites: dict[str, Suite]) -> list[str]:
    """What is wrong with the list itself; the tree is not touched."""
    problems = []
    names = [m.name for m in mutants]
    problems += [f"{n}: named twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for m in mutants:
        if not m.active:
            continue
        if m.suite not in suites:
            problems.append(f"{m.name}: no suite {m.suite!r}")
        path = ROOT / m.file
        if not m.file or not path.is_file():
            problems.append(f"{m.name}: no file {m.file!r}")
            continue
        found = path.read_text(encoding="utf-8").count(m.old) if m.old else 0
        if found != 1:
            problems.append(f"{m.name}: its old text stands {found} times in {m.file}, expected once")
        elif m.old == m.new:
            problems.append(f"{m.name}: changes nothing")
    return problems


def sync_tree() -> None:
    """Bring the copy to the state of the tree. Equal files are left alone: cargo looks at their times."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    wanted = {name for name in listed if name and (ROOT / name).is_file()}
    TREE.mkdir(parents=True, exist_ok=True)
    for old in [p for p in TREE.rglob("*") if p.is_file() and p.relative_to(TREE).as_posix() not in wanted]:
        old.unlink()
    for name in wanted:
        source, copy = ROOT / name, TREE / name
        if copy.is_file() and copy.read_bytes() == source.read_bytes():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        shutil.copymode(source, copy)


def run(command: str, minutes: float) -> Ran:
    """A shell command in the copy, with its output; its whole group ends when its time does."""
    env = {
        **os.environ,
        "CARGO_TARGET_DIR": str(WORK / "build"),
        "PYTHON": sys.executable,
        "PYO3_PYTHON": sys.executable,
        # A patched file may have the size and the second of the whole one: no cached bytecode.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=TREE,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return Ran(ok=False, timed_out=True, output=output)
    return Ran(ok=process.returncode == 0, timed_out=False, output=output)


def failed_tests(output: str) -> list[str]:
    """Names of the tests that failed, in the order of their first mention."""
    for pattern in FAILED_TEST:
        if names := list(dict.fromkeys(pattern.findall(output))):
            return names
    return []


def tail(text: str, lines: int = 15) -> str:
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])


def try_mutant(mutant: Mutant, suite: Suite, minutes: float) -> tuple[str, str]:
    """The verdict on one mutant and the words beside it: `caught`, `MISSED` or `BROKEN`."""
    path = TREE / mutant.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        built = run(fill(suite.build, mutant.filter), minutes)
        if not built.ok:
            return "BROKEN", "does not build:\n" + tail(built.output)
        tested = run(fill(suite.test, mutant.filter), minutes)
    finally:
        path.write_text(whole, encoding="utf-8")
    if tested.ok:
        return "MISSED", "every test passed"
    if tested.timed_out:
        return "caught", f"(a test hung: ended after {minutes:g} min)"
    names = failed_tests(tested.output)
    if not names:
        return "BROKEN", "the tests ended badly, but none failed:\n" + tail(tested.output)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return "caught", names[0] + more


def baseline(mutants: list[Mutant], suites: dict[str, Suite], minutes: float) -> list[str]:
    """Each command that will be used must pass on the whole tree, else its failure says nothing."""
    problems = []
    for suite_name, wanted in sorted({(m.suite, m.filter) for m in mutants}):
        suite = suites[suite_name]
        print(f"whole tree: {suite_name} {wanted}".rstrip(), flush=True)
        for command in (suite.build, suite.test):
            ran = run(fill(command, wanted), minutes)
            if not ran.ok:
                problems.append(f"the whole tree fails `{fill(command, wanted)}`:\n{tail(ran.output)}")
                break
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="mutants to try (all active ones)")
    parser.add_argument("--list", type=Path, default=ROOT / "tools" / "mutants.toml")
    parser.add_argument("--check", action="store_true", help="check the list against the tree, run nothing")
    parser.add_argument("--minutes", type=float, default=15.0, help="for one build or one test run")
    args = parser.parse_args()

    suites, mutants = load(args.list)
    problems = check(mutants, suites)
    unknown = set(args.names) - {m.name for m in mutants}
    problems += [f"{n}: no such mutant" for n in sorted(unknown)]
    chosen = [m for m in mutants if m.active and (not args.names or m.name in args.names)]
    waiting = [m.name for m in mutants if not m.active]
    if not problems and not args.check and chosen:
        sync_tree()
        problems = baseline(chosen, suites, args.minutes)
    if problems:
        for problem in problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    if waiting:
        print(f"not active yet ({len(waiting)}): {', '.join(waiting)}")
    if args.check:
        print(f"{len(chosen)} active mutants, each of their texts found once")
        return 0

    verdicts: list[str] = []
    width = max((len(m.name) for m in chosen), default=0)
    for mutant in chosen:
        started = time.monotonic()
        verdict, words = try_mutant(mutant, suites[mutant.suite], args.minutes)
        verdicts.append(verdict)
        seconds = time.monotonic() - started
        print(
            f"{verdict:<7} {mutant.name:<{width}} {seconds:5.0f} s  {mutant.what}\n{'':9}{words}", flush=True
        )
    caught = verdicts.count("caught")
    print(f"{caught} of {len(chosen)} caught, {len(waiting)} not active")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
