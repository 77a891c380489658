"""One verb on one selection, in a process of its own, and by how much that grows in it."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = int(os.environ.get("LAZARR_SEED", "20251"))


def status(field: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{field}:"))


class Growth:
    """By how much the process grows in a block: at its peak, and at its end."""

    def __enter__(self) -> Self:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = status("VmRSS")
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._start
        self.peak = status("VmHWM") - self._before
        self.end = status("VmRSS") - self._before


def size(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of a result: of its arrays, and of the objects in them."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    seen = set() if seen is None else seen
    if isinstance(value, ad.AnnData):
        # Since 0.13, X is one of the layers, too.
        parts = [value.X, *(v for k, v in value.layers.items() if k), *value.obsm.values()]
        return sum(size(v, seen) for v in [*parts, value.obs, value.var, *value.varm.values()])
    if isinstance(value, dict):
        return sum(size(v, seen) for v in value.values())
    if sp.issparse(value):
        return int(value.data.nbytes + value.indices.nbytes + value.indptr.nbytes)
    if isinstance(value, pd.DataFrame):
        return size(value.index, seen) + sum(size(value[c]._values, seen) for c in value)
    if isinstance(value, pd.Series):
        return size(value.index, seen) + size(value._values, seen)
    if isinstance(value, np.ndarray):
        own = sum(map(sys.getsizeof, value.ravel())) if value.dtype == object else 0
        return int(value.nbytes) + own
    if isinstance(value, (pd.Index, pd.api.extensions.ExtensionArray)):
        if id(value) in seen:
            return 0
        seen.add(id(value))
        if isinstance(value, pd.Index):
            return size(value._values, seen)
        if isinstance(value, pd.Categorical):
            return int(value.codes.nbytes) + size(value.categories, seen)
        return int(value.nbytes)
    return 0


def chunk_bytes(adata: Any) -> dict[str, int]:
    """The decoded bytes of an inner chunk of each array; of text, a guess."""
    import numpy as np

    out = {}
    for element in elements(adata):
        for array in element.arrays:
            try:
                item = np.dtype(array["dtype"].replace("bool", "?")).itemsize
            except TypeError:
                item = 24
            out[array["path"]] = int(np.prod(array["inner"], dtype=int)) * item
    return out


def elements(adata: Any) -> Iterator[Any]:
    """The elements of an object."""
    yield adata.X
    for place in (adata.layers, adata.obsm):
        yield from place.values()
    for table in (adata.obs, adata.var):
        yield table
        yield from (table[name] for name in table.columns)


def streamed(what: Any, digests: bool) -> tuple[Any, ...]:
    """Goes through the blocks: how many, their bytes, and with `digests` what identifies those."""
    blocks, total, added = 0, 0, 0.0
    states = [hashlib.blake2b(digest_size=8) for _ in range(2)]
    for _, _, block in what.iter_rows():
        blocks += 1
        total += block.data.nbytes + block.indices.nbytes
        if digests:
            added += float(block.data.sum(dtype="f8"))
            for state, part in zip(states, (block.data, block.indices), strict=True):
                state.update(memoryview(part).cast("B"))
    return blocks, total, added, *(state.hexdigest() for state in states)


def reduced(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    """What identifies the arrays that a reduction gives."""
    return len(arrays), *(hashlib.blake2b(a.tobytes(), digest_size=8).hexdigest() for a in arrays)


def cell(spec: dict[str, Any]) -> dict[str, Any]:
    """Opens, plans, and measures one verb."""
    import numpy as np

    import lazarr as lz

    if "warm" in spec:
        warm = lz.open(spec["warm"])
        warm.to_memory()
        warm.plan(resolve=True)
        del warm
    a = lz.open(spec["store"])
    names = {"a": a, "np": np, "rng": np.random.default_rng(SEED), "n": a.shape[0], "m": a.shape[1]}
    what = eval(spec["what"], names)  # noqa: S307 - from this file
    out: dict[str, Any] = dict(spec)
    with lz.options(memory_limit=spec.get("limit"), threads=spec.get("threads")):
        try:
            plan = what.plan(resolve=True)
            stages = [s for e in plan.to_dict()["elements"] for s in e["stages"]]
            inner = chunk_bytes(a)
            out["chunk"] = max((inner.get(p["path"], 0) for s in stages for p in s["arrays"]), default=0)
            out["plan"], out["mark"] = plan.peak_bytes
            out["output"], out["output_mark"] = plan.output_bytes
            out["used_threads"] = plan.to_dict()["threads"]
            del plan, stages
        except lz.LazarrError as e:
            out["plan_error"] = f"{e.code}: {e}"
        verb = spec.get("verb", "collect")
        if verb == "plan":
            return out
        calls = {
            "collect": what.to_memory,
            "stream": lambda: streamed(what, False),
            "digest": lambda: streamed(what, True),
            "mean_var": lambda: reduced(what.mean_var(axis=0)),
        }
        result = None
        with Growth() as growth:
            try:
                result = calls[verb]()
            except lz.LazarrError as e:
                out["error"], out["text"] = str(e.code), str(e)
        out.update(growth=growth.peak, left=growth.end, seconds=growth.seconds)
        if verb == "collect":
            out["result"] = size(result)
        else:
            out["result"] = result
    return out


def apart(call: Callable[..., Any], *args: Any) -> tuple[Any, int]:
    """What a call gives in a child of this process, and how that ended: None where it is not 0."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            out = json.dumps(call(*args)).encode()
            os.write(write, out)
            code = 0
        except BaseException:  # noqa: BLE001 - shown, and the child ends
            import traceback

            traceback.print_exc()
        os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, code = os.waitpid(child, 0)
    return (json.loads(text) if code == 0 else None), code


def forked(spec: dict[str, Any]) -> dict[str, Any]:
    """A cell in a child of this process."""
    found, code = apart(cell, spec)
    return {**spec, "crashed": code} if found is None else found


def imported() -> None:
    """What every cell has imported before it is measured."""
    import anndata  # noqa: F401
    import pandas as pd  # noqa: F401
    import scipy.sparse  # noqa: F401
