"""The readers that are compared, each with its own best way to say the same things.

An engine opens a store and answers workloads; what it answers is brought to one canonical form by the
worker, outside the clock. Indexing happens inside the clock: that is what a user waits for.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import zarr
from zarr.storage import LocalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

CATEGORY = "Plasmacytoid dendritic cell"
PIPELINES: dict[str, str | None] = {
    "default": None,
    "Fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "zarrs": "zarrs.ZarrsCodecPipeline",
}

# What a reader of the store offers; the others have a store of their own.
COUNTS = ("open", "rows", "random", "repeats", "category", "gene_rare", "gene_some", "gene_most", "mean_var")
TABLES = ("pca", "layer", "obs_pandas", "head")


@dataclass
class Traffic:
    """What went to the store: calls, and the bytes that came back."""

    requests: int = 0
    bytes: int = 0

    def add(self, answer: Buffer | None) -> None:
        self.requests += 1
        self.bytes += 0 if answer is None else len(answer)


# A store with a chunk a row has a grid that zarr-python keeps behind this switch.
zarr.config.set({"array.rectilinear_chunks": True})


class CountingStore(LocalStore):
    """A local store that counts what is asked of it. Readers that go to the files themselves pass it by."""

    # Shared by the copies that zarr makes of a store (`with_read_only`, `open`).
    traffic = Traffic()

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        answer = await super().get(key, prototype, byte_range)
        self.traffic.add(answer)
        return answer

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        answer = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        self.traffic.add(answer)
        return answer

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        answers = await super().get_partial_values(prototype, key_ranges)
        for answer in answers:
            self.traffic.add(answer)
        return answers

    async def exists(self, key: str) -> bool:
        self.traffic.add(None)
        return await super().exists(key)

    async def getsize(self, key: str) -> int:
        self.traffic.add(None)
        return await super().getsize(key)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        self.traffic.add(None)
        return super().list_dir(prefix)


@dataclass
class Task:
    """The store and the selections of one run, fixed beforehand and equal for all engines."""

    path: Path
    facts: dict[str, Any]
    threads: int | None = None

    def rows(self, name: str) -> slice | np.ndarray:
        rows = self.facts["rows"][name]
        if isinstance(rows, dict):
            return slice(rows["start"], rows["stop"])
        return np.array(rows, dtype=np.int64)

    def gene(self, workload: str) -> str:
        name: str = self.facts["genes"][workload.removeprefix("gene_")]["name"]
        return name

    @cached_property
    def mask(self) -> np.ndarray:
        """Every third cell."""
        chosen: np.ndarray = np.arange(self.facts["cells"]) % 3 == 0
        return chosen


class Engine(ABC):
    """One reader. `None` from a workload: it has no way to say this."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self) -> str | None:
        """Configure; the reason why this engine cannot run here, or `None`."""
        return None

    @abstractmethod
    def open(self, task: Task, *, counting: bool = False) -> Any:
        """A handle: what a user holds before the first read."""

    @abstractmethod
    def shape(self, handle: Any) -> tuple[int, int]: ...

    @abstractmethod
    def run(self, workload: str, handle: Any, task: Task) -> Any: ...

    def offers(self, workload: str) -> bool:
        """Whether this engine has the workload at all."""
        return workload in (*COUNTS, *TABLES, "all")

    def counts(self) -> bool:
        """Whether the requests of this engine can be counted."""
        return True


class Lazarr(Engine):
    def prepare(self) -> str | None:
        try:
            self.lz: Any = importlib.import_module("lazarr")
        except ImportError:
            return "lazarr is not installed here (make extension)"
        return None

    def open(self, task: Task, *, counting: bool = False) -> Any:
        del counting  # lz.measure() does it
        return self.lz.open(task.path, threads=task.threads)

    def shape(self, handle: Any) -> tuple[int, int]:
        n_obs, n_vars = handle.shape
        return n_obs, n_vars

    def offers(self, workload: str) -> bool:
        if workload == "mean_var":
            return hasattr(self.lz.SparseElement, "mean_var")
        return super().offers(workload) or workload in ("obs_arrow", "mask", "plan")

    def run(self, workload: str, handle: Any, task: Task) -> Any:
        match workload:
            case "rows" | "random" | "repeats":
                return handle.X[task.rows(workload)].to_memory()
            case "category":
                return handle[handle.obs["cell_type"] == CATEGORY].X.to_memory()
            case "gene_rare" | "gene_some" | "gene_most":
                return handle[:, [task.gene(workload)]].X.to_memory()
            case "mean_var":
                return tuple(handle.X.mean_var(axis=0))
            case "pca":
                return handle.obsm["X_pca"][task.rows("random")].to_memory()
            case "layer":
                return handle.layers["dense"][task.rows("random")].to_memory()
            case "obs_arrow":
                return handle.obs.to_arrow()
            case "obs_pandas":
                return handle.obs.to_memory()
            case "head":
                return handle.obs["batch"][:100].to_memory()
            case "all":
                return handle.X.to_memory()
            case "mask":
                return handle[task.mask]
            case "plan":
                return handle.X.plan(resolve=True)
        raise ValueError(workload)


class LazarrArrow(Lazarr):
    """What a user would do without lazarr's own conversion to pandas: the measure of that one."""

    def offers(self, workload: str) -> bool:
        return workload == "obs_pandas"

    def run(self, workload: str, handle: Any, task: Task) -> Any:
        del workload, task
        return handle.obs.to_arrow().to_pandas()


def sums(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sums and sums of squares per gene, in double precision."""
    return (
        np.asarray(x.sum(axis=0, dtype=np.float64)).ravel(),
        np.asarray(x.astype(np.float64).power(2).sum(axis=0)).ravel(),
    )


def moments(n: int, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = first / n
    return mean, second / n - mean**2


def mean_var(x: Any) -> tuple[np.ndarray, np.ndarray]:
    return moments(x.shape[0], *sums(x))


def streamed_mean_var(x: Any, step: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Over blocks of rows, as a careful user of `sparse_dataset` would."""
    parts = [sums(x[start : start + step]) for start in range(0, x.shape[0], step)]
    return moments(x.shape[0], *(np.sum(part, axis=0) for part in zip(*parts, strict=True)))


def lazy_mean_var(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Dask over its own blocks, each reduced where it is read."""
    dask = importlib.import_module("dask")
    parts = [dask.delayed(sums)(block) for block in x.to_delayed().ravel()]
    return moments(x.shape[0], *(np.sum(part, axis=0) for part in zip(*dask.compute(*parts), strict=True)))


class Peer(Engine):
    """A reader over zarr-python, with one of its codec pipelines."""

    def __init__(self, name: str, pipeline: str) -> None:
        super().__init__(f"{name}, {pipeline}")
        self.pipeline = pipeline

    def prepare(self) -> str | None:
        path = PIPELINES[self.pipeline]
        if path is None:
            return None
        module, _, attribute = path.rpartition(".")
        try:
            getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            return f"{path} is not installed here"
        zarr.config.set({"codec_pipeline.path": path})
        return None

    def counts(self) -> bool:
        # zarrs takes only zarr's own LocalStore and then reads the files itself.
        return self.pipeline != "zarrs"

    def group(self, task: Task, *, counting: bool) -> zarr.Group:
        store = (
            CountingStore(task.path, read_only=True) if counting else LocalStore(task.path, read_only=True)
        )
        return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=True)


class ReadLazy(Peer):
    def __init__(self, pipeline: str) -> None:
        super().__init__("read_lazy", pipeline)

    def open(self, task: Task, *, counting: bool = False) -> Any:
        return ad.experimental.read_lazy(self.group(task, counting=counting))

    def shape(self, handle: Any) -> tuple[int, int]:
        n_obs, n_vars = handle.shape
        return n_obs, n_vars

    def run(self, workload: str, handle: Any, task: Task) -> Any:
        match workload:
            case "rows" | "random" | "repeats":
                return handle.X[task.rows(workload)].compute()
            case "category":
                return handle[(handle.obs["cell_type"] == CATEGORY).to_numpy()].X.compute()
            case "gene_rare" | "gene_some" | "gene_most":
                return handle[:, [task.gene(workload)]].X.compute()
            case "mean_var":
                return lazy_mean_var(handle.X)
            case "pca":
                return handle.obsm["X_pca"][task.rows("random")].compute()
            case "layer":
                return handle.layers["dense"][task.rows("random")].compute()
            case "obs_pandas":
                return handle.obs.to_memory()
            case "head":
                return handle.obs["batch"][:100].to_numpy()
            case "all":
                return handle.X.compute()
        raise ValueError(workload)


class SparseDataset(Peer):
    """`anndata.io.sparse_dataset` over X; tables are read whole by `read_elem`, dense arrays by zarr."""

    def __init__(self, pipeline: str) -> None:
        super().__init__("sparse_dataset", pipeline)

    def open(self, task: Task, *, counting: bool = False) -> Any:
        group = self.group(task, counting=counting)
        return ad.io.sparse_dataset(group["X"]), group

    def shape(self, handle: Any) -> tuple[int, int]:
        n_obs, n_vars = handle[0].shape
        return n_obs, n_vars

    def offers(self, workload: str) -> bool:
        return super().offers(workload) and workload != "head"

    def run(self, workload: str, handle: Any, task: Task) -> Any:
        x, group = handle
        match workload:
            case "rows" | "random" | "repeats":
                return x[task.rows(workload)]
            case "category":
                return x[np.asarray(ad.io.read_elem(group["obs/cell_type"]) == CATEGORY)]
            case "gene_rare" | "gene_some" | "gene_most":
                names = ad.io.read_elem(group[f"var/{group['var'].attrs['_index']}"])
                return x[:, np.flatnonzero(names == task.gene(workload))]
            case "mean_var":
                return streamed_mean_var(x)
            case "pca":
                return group["obsm/X_pca"].oindex[task.rows("random")]
            case "layer":
                return group["layers/dense"].oindex[task.rows("random")]
            case "obs_pandas":
                return ad.io.read_elem(group["obs"])
            case "all":
                return x.to_memory()
        raise ValueError(workload)


class Eager(Peer):
    """Load everything, then slice in memory: sometimes the right answer."""

    def __init__(self, pipeline: str) -> None:
        super().__init__("eager read_zarr", pipeline)

    def open(self, task: Task, *, counting: bool = False) -> Any:
        return self.group(task, counting=counting)

    def shape(self, handle: Any) -> tuple[int, int]:
        n_obs, n_vars = handle["X"].attrs["shape"]
        return n_obs, n_vars

    def offers(self, workload: str) -> bool:
        return super().offers(workload) and workload != "open"

    def run(self, workload: str, handle: Any, task: Task) -> Any:
        adata = ad.read_zarr(handle)
        match workload:
            case "rows" | "random" | "repeats":
                return adata.X[task.rows(workload)]
            case "category":
                return adata.X[(adata.obs["cell_type"] == CATEGORY).to_numpy()]
            case "gene_rare" | "gene_some" | "gene_most":
                return adata.X[:, [adata.var_names.get_loc(task.gene(workload))]]
            case "mean_var":
                return mean_var(adata.X)
            case "pca":
                return adata.obsm["X_pca"][task.rows("random")]
            case "layer":
                return adata.layers["dense"][task.rows("random")]
            case "obs_pandas":
                return adata.obs
            case "head":
                return adata.obs["batch"].iloc[:100]
            case "all":
                return adata.X
        raise ValueError(workload)
