"""Every way to read. Each is one expression, for an object in memory too: that is how the right answer is known.

A path is a name and what to do with an object. Of a lazy object the result is collected; of one in memory it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from damage.canon import canon

Path = tuple[str, Callable[[Any], Any]]


def load(x: Any) -> Any:
    return x.to_memory() if hasattr(x, "to_memory") else x


def names_of(truth: Any) -> list[str]:
    """The elements of an object in memory, by path."""
    out = ["obs", "var"] + (["X"] if truth.X is not None else [])
    out += [f"obs/{name}" for name in truth.obs.columns] + [f"var/{name}" for name in truth.var.columns]
    for place in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        out += [f"{place}/{name}" for name in getattr(truth, place) if name is not None]
    return out + (["raw"] if truth.raw is not None else [])


def at(a: Any, path: str) -> Any:
    place, _, name = path.partition("/")
    value = getattr(a, place)
    return value[name] if name else value


def element(path: str) -> Path:
    def run(a: Any) -> Any:
        value = load(at(a, path))
        return (value.X, value.var, dict(value.varm)) if path == "raw" else value

    return f"element {path}", run


def cut(path: str, what: str, index: Any) -> Path:
    return f"slice {path}[{what}]", lambda a: load(at(a, path)[index])


def rows(path: str, what: str, index: Any) -> Path:
    """Rows of a table or of a column; of pandas by position."""

    def run(a: Any) -> Any:
        value = at(a, path)
        return load(value[index] if hasattr(value, "to_memory") else value.iloc[index])

    return f"slice {path}[{what}]", run


def blocks(path: str, per: int) -> Path:
    """A stream. Where blocks end is the engine's to choose; together they are all rows, in order."""

    def run(a: Any) -> Any:
        import scipy.sparse as sp

        value = at(a, path)
        if not hasattr(value, "iter_rows"):
            return value.tocsr()
        out: list[tuple[int, int, Any]] = []
        stream = iter(value.iter_rows(per))
        while True:
            try:
                start, stop, block = next(stream)
            except StopIteration:
                break
            except Exception as e:
                raise LateError(e, path, out) from e
            assert start == (out[-1][1] if out else 0), "blocks are neighbours"
            out.append((start, stop, block.tocsr()))
        return sp.vstack([block for _, _, block in out], format="csr")

    return f"stream {path} by {per}", run


WHOLE_VIEWS = {"rows", "columns", "cat == T cell"}
"""The others are read in part, for speed."""


class LateError(Exception):
    """A stream failed after these blocks, which must be right."""

    def __init__(self, error: Exception, path: str, before: list[tuple[int, int, Any]]) -> None:
        super().__init__(str(error))
        self.error, self.path, self.before = error, path, before

    def is_right(self, truth: Any) -> bool:
        """Whether the blocks are those of the object in memory."""
        whole = at(truth, self.path)
        return all(canon(block) == canon(whole[start:stop].tocsr()) for start, stop, block in self.before)


def view(what: str, select: Callable[[Any], Any]) -> Path:
    def run(a: Any) -> Any:
        part = a[select(a)]
        if what in WHOLE_VIEWS:
            # A view of anndata's drops categories that no row has once it is copied; so does ours once it is read.
            return part.copy() if hasattr(part, "copy") else part.to_memory()
        if not hasattr(part, "copy"):
            part = part.to_memory(elements=["X", "obs", "obsm/X_pca"] if "X_pca" in a.obsm else ["X", "obs"])
        return part.X, part.obs.copy(), part.obsm.get("X_pca")

    return f"view {what}", run


def table(path: str) -> Path:
    import pyarrow as pa

    def run(a: Any) -> Any:
        value = at(a, path)
        if hasattr(value, "to_memory"):
            got = pa.table(value)
            return [got.column(name).to_pylist() for name in value.columns]
        return [pa.array(value[name], from_pandas=True).to_pylist() for name in value.columns]

    return f"arrow {path}", run


def array(path: str) -> Path:
    def run(a: Any) -> Any:
        return np.asarray(at(a, path))

    return f"numpy {path}", run


def paths(truth: Any) -> list[Path]:
    """Every way to read an object that would be `truth` in memory."""
    out: list[Path] = [("whole", load)]
    have = names_of(truth)
    out += [element(path) for path in have]
    n, m = truth.shape
    for path in ("X", "layers/csc", "obsp/near"):
        if path in have:
            out += [
                cut(path, ":5", slice(5)), cut(path, "-7:", slice(-7, None)), cut(path, "list", [3, n - 1, 3, 0]),
                cut(path, ":,:3", (slice(None), slice(3))), cut(path, "5:9,list", (slice(5, 9), [1, m - 2])),
                cut(path, "mask", np.arange(n) % 7 == 0), cut(path, "::11", slice(None, None, 11)),
            ]  # fmt: skip
    for path in ("layers/dense", "obsm/X_pca"):
        if path in have:
            out += [
                cut(path, ":5", slice(5)), cut(path, ":,-2:", (slice(None), slice(-2, None))),
                cut(path, "list", [n - 1, 0]), cut(path, "30:33,1", (slice(30, 33), 1)), array(path),
            ]  # fmt: skip
    for path in (p for p in have if p.startswith("obs/")):
        out += [rows(path, ":5", slice(5)), rows(path, "list", [n - 1, 7])]
    out += [rows("obs", ":3", slice(3)), rows("var", "-3:", slice(-3, None)), rows("obs", "5:6", slice(5, 6))]
    out += [blocks(path, 17) for path in ("X", "layers/csc") if path in have]
    label = [str(truth.obs_names[k]) for k in (0, n - 1)]
    columns = set(truth.obs.columns)
    out += [
        view("rows", lambda _: slice(3, 9)),
        view("columns", lambda _: (slice(None), [0, m - 1])),
        view("names", lambda _: label),
    ]
    if "cat" in columns:
        out.append(view("cat == T cell", lambda a: a.obs["cat"] == "T cell"))
    if "num" in columns:
        out.append(view("num > 4", lambda a: a.obs["num"] > 4))
    if "txt" in columns:
        out.append(view("txt == é7", lambda a: a.obs["txt"] == "é7"))
    if "ni" in columns:
        out.append(view("ni.isna()", lambda a: a.obs["ni"].isna()))
    if {"mean"} <= set(truth.var.columns):
        out.append(view("var mean < 5", lambda a: (slice(None), a.var["mean"] < 5)))
    out += [table("obs"), table("var")]
    return out


def plans(truth: Any) -> list[Path]:
    """What reads nothing, or little: nothing to compare, but the same manners are due."""
    have = names_of(truth)
    out: list[Path] = [
        ("repr", lambda a: (repr(a), a._repr_html_())),
        ("plan", lambda a: a.plan()),
        ("plan resolved", lambda a: a.plan(resolve=True)),
        ("plan of rows", lambda a: a[3:9].plan(resolve=True)),
    ]
    if "cat" in truth.obs:
        out.append(("plan of a condition", lambda a: a[a.obs["cat"] == "T cell"].plan(resolve=True)))
    return out + [
        (f"plan {path}[:5]", lambda a, path=path: at(a, path)[:5].plan(resolve=True))
        for path in ("X", "layers/dense")
        if path in have
    ]
