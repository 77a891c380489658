"""What is measured: each workload, what its floor touches, and the target that is set for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

MATRIX = ["indptr", "indices", "data"]

Facts = dict[str, Any]
Job = dict[str, Any]


@dataclass(frozen=True)
class Workload:
    """A workload, its floor's job from the facts of a store, and its targets by layout (`*`: any)."""

    title: str
    floor: Callable[[Facts], Job] | None = None
    """None where a floor says nothing: no chunk is decoded."""
    ratio: dict[str, float] = field(default_factory=dict)
    """The largest allowed time / floor."""
    milliseconds: float | None = None
    """The largest allowed time."""
    beside: str | None = None
    """The engine whose time is the measure instead of the floor."""
    beside_ratio: dict[str, float] = field(default_factory=dict)
    full: Callable[[Facts], Job] | None = None
    """A second floor that is shown beside."""
    store: str | None = None
    """The kind of store it needs, where that is not a store of counts."""


def rows_of(name: str) -> Callable[[Facts], Job]:
    def job(facts: Facts) -> Job:
        return {"rows": facts["rows"][name], "csr": "X", "parts": MATRIX, "result": {"csr": True}}

    return job


def category(facts: Facts) -> Job:
    column = ["obs/cell_type/codes", "obs/cell_type/categories"]
    return {**rows_of("category")(facts), "arrays": column}


def gene(name: str, parts: list[str]) -> Callable[[Facts], Job]:
    """The scan of all indices. The stored values that are found are not counted, but for the full decode."""

    def job(facts: Facts) -> Job:
        result = 4 * (facts["cells"] + 1) + 8 * facts["genes"][name]["cells"]
        return {
            "rows": None,
            "csr": "X",
            "parts": parts,
            "arrays": ["var/_index/values"],
            "result": {"bytes": result},
        }

    return job


def whole_obs(facts: Facts) -> Job:
    return {"rows": None, "arrays": facts["obs_arrays"], "result": {"decoded": True}}


def dense(path: str) -> Callable[[Facts], Job]:
    def job(facts: Facts) -> Job:
        return {"rows": facts["rows"]["random"], "dense": [path], "result": {"dense": True}}

    return job


def head(facts: Facts) -> Job:
    del facts
    column = ["obs/batch/codes", "obs/batch/categories"]
    return {"rows": {"start": 0, "stop": 100}, "arrays": column, "result": {"bytes": 100}}


def everything(facts: Facts) -> Job:
    del facts
    return {"rows": None, "csr": "X", "parts": MATRIX, "result": {"csr": True}}


def pass_over(facts: Facts) -> Job:
    del facts
    return {"rows": None, "csr": "X", "parts": MATRIX}


GENE_SCAN = ["indptr", "indices"]

WORKLOADS: dict[str, Workload] = {
    "open": Workload("open", milliseconds=3.0),
    "rows": Workload("1,000 contiguous rows", rows_of("rows"), {"lz4": 1.4, "default": 1.2}),
    "random": Workload(
        "1,000 random rows",
        rows_of("random"),
        {"lz4": 0.55, "default": 0.75, "blosc-zstd": 0.7},
        beside="cellstream",
        beside_ratio={"small": 2.5},
    ),
    "repeats": Workload("the same, unsorted, 100 repeated", rows_of("repeats")),
    "category": Workload("rows of one category (2.5 %)", category, {"lz4": 0.9, "default": 0.9}),
    "gene_rare": Workload(
        "one gene, in 60 cells", gene("rare", GENE_SCAN), {"lz4": 1.15, "default": 1.15}, full=everything
    ),
    "gene_some": Workload(
        "one gene, in 0.9 % of cells", gene("some", GENE_SCAN), {"lz4": 1.7, "default": 1.7}, full=everything
    ),
    "gene_most": Workload("one gene, in most cells", gene("most", MATRIX), {"lz4": 1.15, "default": 1.15}),
    "mean_var": Workload("mean and variance per gene", pass_over, {"lz4": 1.35, "default": 1.15}),
    "pca": Workload("1,000 random rows of obsm['X_pca']", dense("obsm/X_pca"), {"*": 1.25}),
    "layer": Workload(
        "1,000 random rows of a dense layer", dense("layers/dense"), {"*": 1.25}, store="dense"
    ),
    "obs_arrow": Workload("whole obs to Arrow", whole_obs, {"*": 1.5}),
    "obs_pandas": Workload(
        "whole obs to pandas", whole_obs, beside="lazarr to_arrow, pyarrow to_pandas", beside_ratio={"*": 1.2}
    ),
    "head": Workload("obs head (100)", head, milliseconds=2.0),
    "all": Workload("all of X", everything, {"lz4": 1.4, "default": 1.2, "uncompressed": 1.2, "gzip": 1.2}),
    "mask": Workload("a view by a mask of 10M rows", milliseconds=50.0, store="hollow-cells"),
    "plan": Workload("plan of a million inner chunks", milliseconds=500.0, store="hollow-chunks"),
}
