"""scanpy on an object over Dask: the call as it stands gives what it gives in memory, or the line that is named does."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from counts import adata_of, write
from scanpy_cases import CASES, GENES, equal, run

import lazarr as lz

mpl.use("agg")
PAGE = Path(__file__).parents[2] / "docs" / "scanpy.md"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Counts, and the same normalised, with a PCA."""
    import scanpy as sc

    a = adata_of(np.random.default_rng(1), 600, 200, more=False)
    where = tmp_path_factory.mktemp("scanpy")
    paths = {"counts": write(a, where / "counts.zarr")}
    sc.pp.normalize_total(a, target_sum=1e4)
    sc.pp.log1p(a)
    sc.pp.pca(a, n_comps=10)
    a.obsm["X_umap"] = a.obsm["X_pca"][:, :2].copy()
    del a.uns["pca"], a.varm["PCs"]
    paths["lognorm"] = write(a, where / "lognorm.zarr")
    return paths


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gives_what_it_gives_in_memory(case, stores):
    lazy = lz.open(stores[case.store])
    wanted = case.result(*run(case.code, adata=lazy.to_memory()))
    adata = lazy.to_dask(chunk_bytes="50KB")
    assert adata.X.numblocks[0] > 3
    if case.instead is None:
        equal(case.result(*run(case.code, adata=adata)), wanted, case.name, case.close)
        return
    # An error of its own, and never a wrong result; where scanpy has learned it, the table is to be mended.
    try:
        run(case.code, adata=adata)
    except Exception:  # noqa: BLE001, S110 - whatever scanpy meets
        pass
    else:
        pytest.fail("it works unchanged: take the line out of the table")
    adata, out = run(f"{case.instead}\n{case.code}", lazy=lazy)
    equal(case.result(adata, out), wanted, case.name, case.close)


def page() -> str:
    """The table of the documentation."""
    unchanged = [case for case in CASES if case.instead is None]
    lines = [
        "# scanpy over lazarr",
        "",
        "<!-- Made by python/tests/test_scanpy.py, which runs each line: LAZARR_BLESS=1 writes it anew. -->",
        "",
        "`adata = lazy.to_dask()` is an `anndata.AnnData` over arrays of Dask: scanpy takes it as it is. Of the",
        f"{len(CASES)} calls below {len(unchanged)} work on it unchanged, in blocks, and give what they give in memory. The",
        "others are written by scanpy for matrices in memory: the line in the table loads what the call needs and no more,",
        f"and then the same call works. In these lines `lazy = lz.open(...)`, and `GENES` is a list of {len(GENES)} genes.",
        "",
        "| scanpy | on `lazy.to_dask()` | the line to type before |",
        "|---|---|---|",
    ]
    for case in CASES:
        if case.instead is None:
            lines.append(f"| `{case.name}` | works unchanged | |")
        else:
            lines.append(f"| `{case.name}` | {case.why} | `{case.instead}` |")
    lines += ["", "The calls, as they are tested:", "", "```python"]
    lines += [case.code for case in CASES]
    return "\n".join([*lines, "```", ""])


def test_the_table_is_in_the_docs():
    assert len(CASES) == 27
    if os.environ.get("LAZARR_BLESS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "LAZARR_BLESS=1 writes docs/scanpy.md anew"
