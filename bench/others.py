"""Readers of formats of their own, which hold the same counts: shown beside."""

from __future__ import annotations

import importlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from engines import Engine, Task

if TYPE_CHECKING:
    from pathlib import Path

    import scipy.sparse


def archive_of(store: Path) -> Path:
    """Where the archive of a store's counts stands: the same for all layouts of a size."""
    return store.with_name(store.name.rsplit("-", 1)[0] + ".csad")


class Cellstream(Engine):
    """cellstream's per-cell frames: one file, each cell compressed by itself, integers by FastPFor."""

    def prepare(self) -> str | None:
        try:
            self.cellstream: Any = importlib.import_module("cellstream")
        except ImportError:
            return "cellstream is not installed here (pip install cellstream)"
        return None

    def open(self, task: Task, *, counting: bool = False) -> Any:
        del counting
        return self.cellstream.open(archive_of(task.path))

    def shape(self, handle: Any) -> tuple[int, int]:
        n_obs, n_vars = handle.shape
        return n_obs, n_vars

    def counts(self) -> bool:
        return False  # it maps its file

    def offers(self, workload: str) -> bool:
        return workload in ("rows", "random", "repeats", "category", "all")

    def run(self, workload: str, handle: Any, task: Task) -> scipy.sparse.csr_matrix:
        import numpy as np

        if workload == "all":
            rows = np.arange(task.facts["cells"])
        else:
            chosen = task.rows(workload)
            rows = np.arange(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen
        return handle.gather_rows(rows, n_threads=task.threads or os.cpu_count() or 1)


def make_cellstream(store: Path) -> None:
    """The archive beside the store, where the package is installed and the archive is not there."""
    archive = archive_of(store)
    try:
        cellstream = importlib.import_module("cellstream")
    except ImportError:
        return
    if archive.exists():
        return
    import anndata as ad
    import zarr

    print(f"writing {archive.name} for cellstream", flush=True)
    group = zarr.open_group(store, mode="r")
    x = ad.io.read_elem(group["X"])
    x.indices, x.indptr = x.indices.astype("int32"), x.indptr.astype("int64")
    adata = ad.AnnData(
        X=x, obs=ad.io.read_elem(group["obs"])[["cell_type"]], var=ad.io.read_elem(group["var"])
    )
    partial = archive.with_name(archive.name + ".partial.csad")
    partial.unlink(missing_ok=True)
    cellstream.write_sharded(adata, partial, layout="cell")
    shutil.move(partial, archive)
