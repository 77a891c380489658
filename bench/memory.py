#!/usr/bin/env python3
"""What reading takes in memory, measured by the system: `memory.py cases` and `memory.py limits`.

`cases` collects many selections of many stores, each in a process of its own (forked from one that has scipy, pandas
and anndata imported, after a small read of the same kind), and compares the growth of the process with the size of the
result and with the plan. `limits` runs workloads under limits, each in a fresh process, collects and streams.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MB = 1 << 20
SEED = int(os.environ.get("LAZARR_SEED", "20251"))


# ── one measured call ──


def status(field: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(f"{field}:"))


class Growth:
    """By how much the process grows in a block: at its peak, and at its end."""

    def __enter__(self) -> Growth:
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


def streamed(what: Any, reference: bool) -> tuple[int, int, str]:
    """Goes through the blocks: how many, their bytes, and what identifies those."""
    blocks, total, h = 0, 0, [hashlib.blake2b(digest_size=8) for _ in range(2)]
    for _, _, block in what.iter_rows():
        blocks += 1
        total += block.data.nbytes + block.indices.nbytes
        # Of csc, blocks of other sizes have their values in another order.
        for state, part in zip(h, (block.data, block.indices), strict=True):
            if reference:
                state.update(memoryview(part).cast("B"))
    return blocks, total, "".join(state.hexdigest() for state in h)


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
        }
        result = None
        with Growth() as growth:
            try:
                result = (calls.get(verb) or (lambda: getattr(what, verb)(axis=0)))()
            except lz.LazarrError as e:
                out["error"], out["text"] = str(e.code), str(e)
        out.update(growth=growth.peak, left=growth.end, seconds=growth.seconds)
        if verb == "collect":
            out["result"] = size(result)
        else:
            out["result"] = result if isinstance(result, tuple) else None
    return out


def forked(spec: dict[str, Any]) -> dict[str, Any]:
    """A cell in a child of this process."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            out = json.dumps(cell(spec)).encode()
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
    return json.loads(text) if code == 0 else {**spec, "crashed": code}


def fresh(spec: dict[str, Any]) -> dict[str, Any]:
    """A cell in a process of its own from the start."""
    done = subprocess.run(
        [sys.executable, __file__, "cell", json.dumps(spec)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {**spec, "crashed": done.returncode, "text": done.stderr[-2000:]}
    return json.loads(done.stdout.splitlines()[-1])


# ── cases ──

SPARSE = {
    "all": "a.X",
    "first tenth": "a.X[: n // 10]",
    "a range": "a.X[n // 3 : n // 2]",
    "random rows": "a.X[np.sort(rng.choice(n, n // 20, replace=False))]",
    "unsorted, repeats": "a.X[rng.integers(0, n, n // 20)]",
    "a mask": "a.X[rng.random(n) < 0.3]",
    "a step": "a.X[::3]",
    "backwards": "a.X[: n // 4][::-1]",
    "columns": "a[:, np.sort(rng.choice(m, 40, replace=False))].X",
    "rows, columns": "a[: n // 4, : m // 4].X",
}
DENSE = {
    "dense": "a.obsm['dense']",
    "dense rows": "a.obsm['dense'][n // 5 : n // 2]",
    "dense random rows": "a.obsm['dense'][np.sort(rng.choice(n, n // 10, replace=False))]",
    "dense mask": "a.obsm['dense'][rng.random(n) < 0.4]",
    "bytes": "a.obsm['bytes']",
    "bytes step": "a.obsm['bytes'][::2]",
    "pca": "a.obsm['X_pca']",
    "pca columns": "a.obsm['X_pca'][:, :10]",
    "pca unsorted": "a.obsm['X_pca'][rng.integers(0, n, n)]",
}
TABLES = {
    "obs": "a.obs",
    "obs rows": "a.obs[: n // 2]",
    "numbers": "a.obs['n_counts']",
    "categories": "a.obs['cell_type']",
    "nullable": "a.obs['score']",
    "text": "a.obs['barcode']",
}
WHOLE = {
    "object, half": "a[: n // 2]",
    "object, a category": "a[a.obs['cell_type'] == 'type 3']",
}


def cases(paths: dict[str, Path]) -> list[dict[str, Any]]:
    """Every store with every selection, in an order that the seed decides."""
    out = []
    for name, path in paths.items():
        for group in (SPARSE, DENSE, TABLES, WHOLE):
            for label, what in group.items():
                out.append({"name": f"{name}: {label}", "store": str(path), "what": what})
    random.Random(SEED).shuffle(out)
    return out


def judge(case: dict[str, Any]) -> list[str]:
    """What is wrong with a case."""
    if "crashed" in case or "error" in case:
        return [f"ended: {case.get('text', case.get('crashed'))}"]
    wrong = []
    growth, result, plan = case["growth"], case["result"], case["plan"]
    slack = result / 20 + 64 * MB + 2 * case["chunk"] * case["used_threads"]
    if growth - result > slack:
        wrong.append(f"grew {(growth - result) / MB:.0f} MB over the result")
    if growth > plan:
        wrong.append(f"grew {growth / MB:.1f} MB, planned {case['mark']} {plan / MB:.1f}")
    if case["mark"] == "exact" and plan > growth * 1.25 + 16 * MB:
        wrong.append(f"planned {plan / MB:.1f} MB, grew {growth / MB:.1f}")
    return wrong


def run_cases(count: int | None, only: str) -> int:
    """The campaign `memory-cases`."""
    warm = make_warm()
    todo = [c for c in cases(data()) if only in c["name"]][:count]
    done, exact, failed = [], 0, 0
    for case in todo:
        case = forked({**case, "warm": str(warm)})
        wrong = judge(case)
        exact += case.get("mark") == "exact"
        failed += bool(wrong)
        done.append(case)
        figures = " ".join(f"{k} {case.get(k, 0) / MB:7.1f}" for k in ("result", "growth", "plan"))
        print(f"{case['name']:<34} {figures} {case.get('mark')} {'; '.join(wrong)}", flush=True)
    good = [c for c in done if "growth" in c and c["result"] is not None]
    worst = max((c["growth"] - c["result"] for c in good), default=0)
    print("| cases | plan exact | growth over the result, worst | growth / plan, exact cases: lowest, highest |")
    print("|---|---|---|---|")
    ratios = sorted(c["growth"] / c["plan"] for c in good if c.get("mark") == "exact") or [0]
    print(f"| {len(done)} | {exact} | {worst / MB:.0f} MB | {ratios[0]:.2f}, {ratios[-1]:.2f} |")
    enough = count is not None or only or (len(done) >= 200 and exact >= 150)
    print(f"memory-cases: {len(done)} cases, {exact} marked exact, {failed} outside of their bounds (seed {SEED})")
    return 0 if enough and not failed else 1


# ── limits ──

WORKLOADS = (
    ("cells-zstd", "a.X", "collect"),
    ("cells-lz4", "a.X[np.sort(rng.choice(n, n // 20, replace=False))]", "collect"),
    ("cells-tiny", "a.obsm['dense'][: n // 2]", "collect"),
    ("tall-lz4", "a.obs", "collect"),
    ("tall-plain", "a[a.obs['cell_type'] == 'type 3']", "collect"),
    ("cells-lz4", "a[:, :40].X", "collect"),
    ("columns-lz4", "a.X[: n // 4]", "collect"),
    ("cells-zstd", "a.X", "stream"),
    ("columns-gzip", "a.X", "stream"),
    ("cells-wide", "a.X", "collect"),
)
LIMITS = (64, 128, 256, 512, 1024, 4096)


def run_limits(count: int | None, only: str) -> int:
    """The campaign `memory-limits`."""
    paths = data()
    completed = refused = failed = 0
    rows = []
    todo = [(w, limit) for w in WORKLOADS for limit in LIMITS if only in f"{w[0]} {w[1]} {w[2]}"]
    for (store, what, verb), limit in todo[:count]:
        out = fresh({"store": str(paths[store]), "what": what, "verb": verb, "limit": limit * MB})
        wrong, grew = "", out.get("growth", 0)
        if "crashed" in out:
            wrong = f"crashed: {out['text']}"
        elif grew > (limit + 16) * MB:
            wrong = f"grew {grew / MB:.0f} MB"
        if "error" in out:
            need = out.get("plan", 0)
            if out["error"] != "LZ0601" and "memory" not in out["text"]:
                wrong = wrong or out["text"]
            exact = out.get("mark") == "exact" or out.get("output_mark") == "exact"
            if out.get("mark") != "exact":
                need = out.get("output", 0)
            if (not exact or need <= limit * MB) and "plan_error" not in out:
                wrong = wrong or f"refused: {out['text']}; plan {out.get('mark')} {need / MB:.0f} MB"
            refused += 1
        elif not wrong:
            completed += 1
        failed += bool(wrong)
        said = f"{grew / MB:.0f}" + (" refused" if "error" in out else "") + (" ✗" if wrong else "")
        rows.append(said)
        print(f"{store} {what} {verb} at {limit} MB: {said} {wrong}", flush=True)
    print("| growth in MB under a limit of | " + " | ".join(f"{k} MB" for k in LIMITS) + " |")
    print("|---" * (len(LIMITS) + 1) + "|")
    for k, (store, what, verb) in enumerate(WORKLOADS):
        part = rows[k * len(LIMITS) : (k + 1) * len(LIMITS)]
        if part:
            print(f"| {store} `{what}` {verb} | " + " | ".join(part) + " |")
    print(f"memory-limits: {completed} completed, {refused} refused, {failed} outside of their bounds (seed {SEED})")
    return 0 if not failed and (completed >= 40 or count is not None or only) else 1


def run_streams(only: str) -> int:
    """Streams at an eighth of what collecting takes, beside streams without a limit."""
    failed = 0
    for name, path in data().items():
        if only not in name:
            continue
        base = {"store": str(path), "what": "a.X"}
        whole = fresh(base)
        inner = 2 * whole["chunk"] * whole["used_threads"]
        limit = max(whole["growth"] // 8, inner + 64 * MB)
        free = min((fresh({**base, "verb": "stream"}) for _ in range(3)), key=lambda r: r["seconds"])
        tight = min(
            (fresh({**base, "verb": "stream", "limit": limit}) for _ in range(3)), key=lambda r: r.get("seconds", 9e9)
        )
        bytes_of = [fresh({**base, "verb": "digest", **more}).get("result") for more in ({}, {"limit": limit})]
        ratio = tight["seconds"] / free["seconds"]
        same = None not in bytes_of and bytes_of[0][1:] == bytes_of[1][1:]
        bad = "error" in tight or tight["growth"] > limit + 16 * MB or ratio > 1.5 or not (same or "columns" in name)
        failed += bad
        print(
            f"| {name} | {limit / MB:.0f} | {tight['growth'] / MB:.0f} | {ratio:.2f} | {same} | "
            f"{tight.get('text', '')}{' ✗' if bad else ''} |",
            flush=True,
        )
    print(f"memory-streams: {failed} outside of their bounds (seed {SEED})")
    return 1 if failed else 0


# ── both ──


def data() -> dict[str, Path]:
    """The stores of both."""
    from memory_stores import stores

    folder = Path(os.environ.get("LAZARR_MEMORY_DATA", HERE / "data" / "memory"))
    folder.mkdir(parents=True, exist_ok=True)
    return stores(folder, SEED)


def make_warm() -> Path:
    """A tiny store with everything in it."""
    from memory_stores import LAYOUTS, build

    path = Path(os.environ.get("LAZARR_MEMORY_DATA", HERE / "data" / "memory")) / "warm.zarr"
    if not path.exists():
        build(path, SEED, LAYOUTS["lz4"], 50, 20, 5, "csr")
    return path


def main() -> int:
    """`cases`, `limits`, `streams`; then how many at most, and a part of their names."""
    import anndata  # noqa: F401 - imported before anything is measured
    import pandas as pd  # noqa: F401
    import scipy.sparse  # noqa: F401

    mode, *rest = sys.argv[1:] or ["cases"]
    if mode == "cell":
        print(json.dumps(cell(json.loads(rest[0]))))
        return 0
    count = int(rest[0]) if rest and rest[0].isdigit() else None
    only = rest[-1] if rest and not rest[-1].isdigit() else ""
    if mode == "cases":
        return run_cases(count, only)
    return run_limits(count, only) if mode == "limits" else run_streams(only)


if __name__ == "__main__":
    sys.exit(main())
