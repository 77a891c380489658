"""Damaged stores, over every path that reads: a typed error at or before first use, or the value where it is legal.

Kinds of our own (`damage/kinds`) always run, each in one format, all of them with LAZARR_DAMAGE=all; those of the
corpus where there is one. Everything runs in processes that are watched: a crash, a hang, or memory beyond the limit
fails the case and not the run.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import anndata
import damage.kinds  # noqa: F401 - registers them
import pytest
from damage import cli, corpus, judge, registry
from damage.good import Damaged, make_good
from damage.run import Worker, truth
from same import same

import lazarr as lz

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is measured in /proc"
)

ALL = os.environ.get("LAZARR_DAMAGE") == "all"
HEADS = ["X", "obs", "layers/dense"]


class Bench:
    """Whole stores, what is right of them, and a process that reads."""

    def __init__(self, home: Path, out: Path) -> None:
        self.home, self.out = home, out
        self.worker = Worker(self.good("v3"))
        self.rights: dict[str, dict] = {}
        self.said: dict[tuple, dict] = {}

    def good(self, fmt: str) -> Path:
        return self.home / ("zip.zarr.zip" if fmt == "zip" else f"{fmt}.zarr")

    def right(self, good: Path) -> dict:
        """What anndata reads of a whole store."""
        if str(good) not in self.rights:
            self.rights[str(good)] = truth(self.worker, good)
        return self.rights[str(good)]

    def hold(
        self,
        path: Path,
        good: Path,
        right: dict,
        expect: str,
        at: str | None,
        element: str | None,
        *,
        local: bool = True,
        shown: bool = False,
        root: bool = False,
    ) -> None:
        """Reads a store through every path, and at the shell."""
        job = {"engine": "lazarr", "path": str(path), "truth": right["object"], "only": element}
        wrong = judge.problems(expect, self.worker.ask(job), right["paths"], at, local=local, shown=shown)
        if root:
            wrong = [line for line in wrong if "names neither element nor key" not in line]
        if cli.binary():
            for words in cli.verbs(HEADS if element is None else heads(element)):
                key = (str(good), *words)
                if key not in self.said:
                    self.said[key] = cli.run(good, words)
                wanted = "either" if shown else expect
                # What the buffers of ragged arrays mean is known to awkward alone.
                if words[0] == "check" and "awkward" in path.name and expect == "error":
                    wanted = "either"
                wrong += cli.problems(wanted, words, cli.run(path, words), self.said[key])
        assert not wrong, "\n".join(wrong)


def heads(element: str) -> list[str]:
    """What is read at the shell of a store whose damage is in this element: the element, or its whole."""
    place, _, name = element.partition("/")
    if place == "raw":
        return ["raw/X"]
    return (
        [place] if place in {"X", "obs", "var"} else [f"{place}/{name.partition('/')[0]}" if name else place]
    )


def shared(tmp_path_factory, name: str, build) -> Path:
    """A directory that all workers of a run share; the first that comes builds it."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    try:
        place.mkdir()
    except FileExistsError:
        for _ in range(1200):
            if (place / "done").exists():
                return place
            time.sleep(0.1)
        pytest.fail(f"{name} was never finished by the worker that began it")
    build(place)
    (place / "done").touch()
    return place


def whole_stores(place: Path) -> None:
    make_good(place)
    registry.pack(place / "v3.zarr", place / "zip.zarr.zip")


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    home = shared(tmp_path_factory, "damage-good", whole_stores)
    bench = Bench(home, tmp_path_factory.mktemp("damaged"))
    yield bench
    bench.worker.close()


@pytest.fixture(scope="session")
def corrupt(tmp_path_factory) -> Path:
    return shared(tmp_path_factory, "damage-corpus", corpus.make)


def ours():
    for kind, fmt in registry.chosen(ALL):
        yield pytest.param(kind, fmt, id=f"{kind.name}-{fmt}")


@pytest.mark.parametrize(("kind", "fmt"), list(ours()))
def test_our_kinds(bench, kind, fmt):
    try:
        path = registry.make(kind, fmt, bench.home, bench.out)
    except registry.NotMadeError as e:
        pytest.skip(str(e))
    good = bench.good(fmt)
    right = bench.right(good)
    if kind.truth == "anndata":
        right = truth(bench.worker, path)
    elif kind.truth is not None:
        right = truth(bench.worker, good, kind.truth)
    element = None if ALL else kind.at
    bench.hold(path, good, right, kind.expect, kind.at, element, local=kind.local, shown=kind.shown)
    registry.remove(path)


@pytest.mark.skipif(not corpus.listed(), reason=f"there is no corpus at {corpus.CORPUS}; set LAZARR_CORPUS")
@pytest.mark.parametrize(("name", "fmt", "expect"), corpus.listed())
def test_kinds_of_the_corpus(bench, corrupt, name, fmt, expect):
    path = corpus.made(corrupt)[name, fmt]
    good = corpus.good(corrupt, fmt)
    if name == "obs_names_duplicate":  # pandas finds no labels among them: the whole is compared
        same(lz.open(str(path)).to_memory(), anndata.read_zarr(path))
    elif expect == "allow":
        bench.hold(path, good, truth(bench.worker, path), "value", None, None)
    else:
        local, root = name not in corpus.NOT_LOCAL, name in corpus.AT_ROOT
        bench.hold(path, good, bench.right(good), expect, None, None, local=local, root=root)
    registry.remove(path)


def test_every_kind_of_the_corpus_has_a_line_in_the_table():
    named = [name for names in corpus.GROUPS.values() for name in names.split()]
    assert len(named) == len(set(named))
    if corpus.listed():
        assert set(named) == {name for name, _, _ in corpus.listed()}


def test_the_command_is_tried_too():
    if cli.binary() is None:
        pytest.skip("there is no cargo to build the command with; LAZARR_BIN names one")
    assert Path(cli.binary()).is_file()


def test_our_kinds_are_none_of_the_corpus():
    mine = {kind.name for kind in registry.KINDS}
    assert not mine & {name for names in corpus.GROUPS.values() for name in names.split()}
    assert len(mine) >= 30


def test_a_table_beside_the_cells_has_their_names(bench, tmp_path):
    path = tmp_path / "store.zarr"
    shutil.copytree(bench.good("v3"), path)
    store = Damaged(path, "v3")
    store.put("obsm/tab/_index", [f"other{i}" for i in range(40)])
    store.consolidate()
    with pytest.raises(lz.InvalidStoreError) as e:
        lz.open(path).to_memory()
    assert (e.value.code, e.value.element) == ("LZ0407", "obsm/tab")
    assert (e.value.expected, e.value.found) == ("'cell0' at row 0", "'other0'")


def test_a_chunk_that_goes_after_the_store_was_opened(bench, tmp_path):
    """Opening keeps no file open: what has gone is absent, and what must be there is an error."""
    path = tmp_path / "store.zarr"
    shutil.copytree(bench.good("v3"), path)
    adata = lz.open(path)
    adata.X[:3].to_memory()
    shutil.rmtree(path / "X" / "data" / "c")
    with pytest.raises(lz.InvalidStoreError) as e:
        adata.X[:3].to_memory()
    assert (e.value.code, e.value.element) == ("LZ0304", "X/data")
    shutil.rmtree(path / "X")
    with pytest.raises(lz.LazarrError) as e:
        adata.X[:3].to_memory()
    assert e.value.element.startswith("X")
    assert adata.obs["num"].to_memory().shape == (40,)
    shutil.rmtree(path)
    with pytest.raises(lz.LazarrError) as e:
        adata.obs["num"].to_memory()
    assert e.value.element == "obs/num"
