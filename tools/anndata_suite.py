#!/usr/bin/env python3
"""Run anndata's own tests with lazarr in the place of its zarr readers, and say which share passes.

The tests come from the sdist of the installed anndata, which pip fetches; HDF5 inputs stay with anndata. A
test counts where a reader of lazarr was really called in it, and where it passes with anndata itself.

    python tools/anndata_suite.py                  # the groups of docs/anndata.md, and their table
    python tools/anndata_suite.py --write          # and writes the table into the page
    python tools/anndata_suite.py --write elements # one group, whose row is written
    python tools/anndata_suite.py tests/lazy/test_read.py -k uns
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "anndata.md"
ELEMENTS = [f"tests/test_io_{name}.py" for name in ("elementwise", "backwards_compat", "dispatched")]
GROUPS = {
    "lazy": ([f"tests/lazy/test_{name}.py" for name in ("read", "write", "concat")], "not h5ad"),
    "elements": (ELEMENTS, "not h5"),
    "whole": (["tests/test_readwrite.py", "tests/test_views.py"], "zarr"),
}
REPORT = "LAZARR_SUITE_REPORT"
REFUSED = (
    "test_forward_slash_key",
    "test_leading_slash_error",
    "test_access_count_index",
    "test_read_zarr_zip_path",
)
"""Tests that assert what is refused on purpose; the page says why."""
ALLOWED = 0.02
"""So much of the tests may those be."""

# --- the plugin: this file, loaded by pytest as `anndata_suite` ---

_called: set[str] = set()
_outcome: dict[str, str] = {}
_now: list[str] = [""]


def _zarr(target: Any) -> bool:
    if type(target).__module__.partition(".")[0] == "h5py":
        return False
    return not str(target).endswith((".h5ad", ".h5", ".hdf5"))


def _in_place(theirs: Callable[..., Any], ours: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(theirs)
    def call(target: Any, *args: Any, **kwargs: Any) -> Any:
        if not _zarr(target):
            return theirs(target, *args, **kwargs)
        _called.add(_now[0])
        return ours(target, *args, **kwargs)

    return call


def _patched() -> Iterator[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    import anndata as ad
    import anndata.experimental as experimental

    import lazarr.anndata as readers

    yield "read_zarr", ad.io.read_zarr, readers.read_zarr
    lazy = functools.partial(readers.read_lazy, obs="xarray")
    yield "read_lazy", experimental.read_lazy, lazy
    yield "read_elem", ad.io.read_elem, readers.read_elem
    yield "read_elem_lazy", experimental.read_elem_lazy, readers.read_elem_lazy


def _patch(modules: list[Any]) -> None:
    for name, theirs, new in _readers:
        for module in modules:
            # A module that is still being made, or one that answers to every name, has nothing to patch.
            if getattr(module, "__dict__", {}).get(name) is theirs:
                setattr(module, name, new)


_readers: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = []


def pytest_configure() -> None:
    """Puts the readers into anndata's public modules, before a test imports them by name."""
    _readers.extend((name, theirs, _in_place(theirs, ours)) for name, theirs, ours in _patched())
    public = ("anndata", "anndata.io", "anndata.experimental", "anndata.experimental.backed")
    _patch([importlib.import_module(name) for name in public])


def pytest_collection_finish() -> None:
    """And into what has them already: tests and their helpers."""
    own = ("anndata", "zarr", "lazarr", "anndata_suite")
    _patch([m for name, m in list(sys.modules.items()) if name.partition(".")[0] not in own])


def pytest_runtest_logstart(nodeid: str) -> None:
    """Remembers which test runs."""
    _now[0] = nodeid


def pytest_runtest_logreport(report: Any) -> None:
    """Remembers how each test ended."""
    if report.when == "call" or report.outcome != "passed":
        _outcome[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Writes what was found."""
    found = {name: _outcome.get(name, "none") for name in sorted(_called)}
    Path(os.environ[REPORT]).write_text(json.dumps(found))


# --- the command ---


def sources(where: Path) -> Path:
    """The sdist of the installed anndata, unpacked."""
    import anndata

    wanted = f"anndata=={anndata.__version__}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, wanted, "-d", "."], check=True, cwd=where)
    (archive,) = where.glob("anndata-*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(where, filter="data")
    return where / archive.name.removesuffix(".tar.gz")


def fail_there(root: Path, tests: list[str]) -> set[str]:
    """Those of the tests that fail with anndata itself, too."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=no", *tests]
    said = subprocess.run(command, cwd=root, env=env, check=False, capture_output=True, text=True).stdout
    lines = said.splitlines()
    return {
        test for test in tests if any(line.startswith((f"FAILED {test}", f"ERROR {test}")) for line in lines)
    }


def run(root: Path, files: list[str], only: str) -> dict[str, str]:
    """How the tests ended in which lazarr read."""
    report = root / "report.json"
    paths = os.pathsep.join([str(HERE), str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": paths, REPORT: str(report)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "anndata_suite", *files]
    subprocess.run([*command, *(["-k", only] if only else [])], cwd=root, env=env, check=False)
    found: dict[str, str] = json.loads(report.read_text())
    return found


def refused(test: str) -> bool:
    """Whether a test asserts what is refused on purpose."""
    return any(name in test for name in REFUSED)


def row(files: list[str], found: dict[str, str]) -> str:
    """The row of a group."""
    names = ", ".join(f.removeprefix("tests/").removesuffix(".py") for f in files)
    return f"| {names} | {cells(found)} |"


def cells(found: dict[str, str]) -> str:
    """How many tests there are, how many pass, and how many do not on purpose."""
    failed = [test for test, outcome in found.items() if outcome == "failed"]
    purpose = sum(refused(test) for test in failed)
    return f"{len(found)} | {len(found) - len(failed)} | {purpose} | {len(failed) - purpose}"


def write(rows: dict[str, str]) -> None:
    """Puts rows into the table of the page; those of other groups stay."""
    before, _, rest = PAGE.read_text().partition("<!-- anndata-suite -->\n")
    table, _, after = rest.partition("<!-- /anndata-suite -->")
    lines = [
        "| files | tests that read through lazarr | pass | refused on purpose | other failures |",
        "|---|---|---|---|---|",
    ]
    for name, (files, _) in GROUPS.items():
        start = row(files, {}).partition(" | 0")[0]
        kept = next((line for line in table.splitlines() if line.startswith(f"{start} |")), "")
        lines.append(rows.get(name, kept))
    if "all" in rows:
        lines.append(rows["all"])
    text = "\n".join(line for line in lines if line)
    PAGE.write_text(f"{before}<!-- anndata-suite -->\n{text}\n<!-- /anndata-suite -->{after}")


def main() -> int:
    """Runs the groups, prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "files", nargs="*", help=f"tests of anndata, or some of {', '.join(GROUPS)}: by default all"
    )
    parser.add_argument("-k", default="", help="which of them")
    parser.add_argument("--write", action="store_true", help="write the table into docs/anndata.md")
    args = parser.parse_args()
    names = args.files or list(GROUPS)
    whole = all(name in GROUPS for name in names)
    chosen = {name: GROUPS[name] for name in names} if whole else {"": (args.files, args.k)}
    rows: dict[str, str] = {}
    everything: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = sources(Path(temporary))
        for name, (files, only) in chosen.items():
            found = {k: v for k, v in run(root, files, only).items() if v in {"passed", "failed"}}
            failed = [test for test, outcome in found.items() if outcome == "failed"]
            own = fail_there(root, failed) if failed else set()
            found = {k: v for k, v in found.items() if k not in own}
            rows[name] = row(files, found)
            everything |= found
            print("\n".join(name for name, outcome in found.items() if outcome == "failed"))
    if len(chosen) == len(GROUPS):
        rows["all"] = f"| all | {cells(everything)} |"
    if args.write and whole:
        write(rows)
    print("\n".join(rows.values()))
    failed = [test for test, outcome in everything.items() if outcome == "failed"]
    purpose = [test for test in failed if refused(test)]
    return 0 if purpose == failed and len(failed) <= ALLOWED * len(everything) else 1


if __name__ == "__main__":
    sys.exit(main())
