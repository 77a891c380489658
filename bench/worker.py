"""One engine, one workload, one store, in a process of its own: measure and print one line of JSON."""

from __future__ import annotations

import contextlib
import gc
import json
import resource
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

# Before any clock or memory mark: the imports are not the reads'. Every engine gets the same ones.
import anndata  # noqa: F401
import numpy as np
import pandas as pd
import scipy.sparse
from engines import CountingStore, Task, Traffic, engines

# Below this a call is repeated as asked; slow ones are repeated less, and the table says how often.
PATIENCE_S = 20.0


def status_bytes(field: str) -> int | None:
    """A memory line of /proc/self/status, in bytes."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    line = next((line for line in text.splitlines() if line.startswith(field + ":")), None)
    return int(line.split()[1]) * 1024 if line else None


def reset_peak() -> bool:
    """Start the kernel's high-water mark anew; where it cannot be, this fresh process has its first one."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    high = status_bytes("VmHWM")
    if high is not None:
        return high
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def kernel_reads() -> tuple[int, int] | None:
    """Read calls and bytes of this process by the kernel's count: the same rod for every engine."""
    try:
        text = Path("/proc/self/io").read_text(encoding="ascii")
    except OSError:
        return None
    fields = dict(line.split(": ") for line in text.splitlines())
    return int(fields["syscr"]), int(fields["rchar"])


def crc(array: np.ndarray, dtype: str) -> int:
    """Checksum of the values in one dtype, by blocks so that nothing is copied whole."""
    total = 0
    for start in range(0, len(array), 1 << 20):
        block = np.ascontiguousarray(array[start : start + (1 << 20)].astype(dtype))
        total = zlib.crc32(block.data, total)
    return total


def digest(result: Any) -> str:
    """A canonical checksum: equal for equal values, whatever the type that carries them."""
    if scipy.sparse.issparse(result):
        csr = result.tocsr()
        parts = (crc(csr.indptr, "<i8"), crc(csr.indices, "<i8"), crc(csr.data, "<f8"))
        return f"csr {csr.shape} {csr.nnz} " + " ".join(f"{p:08x}" for p in parts)
    if isinstance(result, tuple):
        return f"shape {tuple(int(x) for x in result)}"
    values = np.asarray(pd.Series(result).astype(object).to_numpy(), dtype=str)
    return f"column {len(values)} {zlib.crc32(chr(10).join(values.tolist()).encode()):08x}"


def size_of(result: Any) -> int:
    if scipy.sparse.issparse(result):
        return int(result.data.nbytes + result.indices.nbytes + result.indptr.nbytes)
    if isinstance(result, np.ndarray):
        return result.nbytes
    if isinstance(result, pd.Series | pd.Index | pd.Categorical):
        usage: Any = result.memory_usage()
        return int(usage)
    return 0


def measure(job: dict[str, Any]) -> dict[str, Any]:
    engine = next(e for e in engines() if e.name == job["engine"])
    if missing := engine.prepare():
        return {"skipped": missing}
    workload: str = job["workload"]
    if not engine.offers(workload):
        return {"skipped": "it has no such thing"}
    task = Task(Path(job["path"]), slice(*job["contiguous"]), np.array(job["random"], dtype=np.int64))

    # Opened outside the clock, but for the workload that is the opening.
    handle = None if workload == "open" else engine.open(task)

    def call() -> Any:
        return engine.open(task) if workload == "open" else engine.run(workload, handle, task)

    def canonical(result: Any) -> str:
        return digest(engine.shape(result) if workload == "open" else result)

    gc.collect()
    before = status_bytes("VmRSS") or peak_bytes()
    exact = reset_peak()
    io_before = kernel_reads()
    started = time.perf_counter()
    result = call()
    first = time.perf_counter() - started
    io_after = kernel_reads()
    growth = max(peak_bytes() - before, 0)
    check = canonical(result)
    result_bytes = size_of(result)
    del result

    repeat: int = job["repeat"]
    times: list[float] = []
    while len(times) < repeat and (len(times) < 1 or sum(times) + first < PATIENCE_S):
        gc.collect()
        started = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - started)
        if len(times) == 1 and canonical(result) != check:
            return {"error": "the second answer differs from the first"}
        del result

    answer: dict[str, Any] = {
        "best_s": min(times),
        "first_s": first,
        "repeats": len(times),
        "growth_bytes": growth,
        "growth_exact": exact,
        "result_bytes": result_bytes,
        "digest": check,
        "kernel_reads": None,
        "kernel_bytes": None,
        "requests": None,
        "request_bytes": None,
    }
    if io_before is not None and io_after is not None:
        answer["kernel_reads"] = io_after[0] - io_before[0]
        answer["kernel_bytes"] = io_after[1] - io_before[1]
    count_requests(engine, workload, task, answer)
    return answer


def count_requests(engine: Any, workload: str, task: Task, answer: dict[str, Any]) -> None:
    """One more call, on a fresh handle, with the store counting: apart, so that it costs no time above."""
    if not engine.counts():
        return
    if hasattr(engine, "lz"):
        handle = None if workload == "open" else engine.open(task)
        with engine.lz.measure() as m:
            _ = engine.open(task) if workload == "open" else engine.run(workload, handle, task)
        answer["requests"] = int(m.report.requests)
        answer["request_bytes"] = int(m.report.bytes_fetched)
        return
    handle = None if workload == "open" else engine.open(task, counting=True)
    CountingStore.traffic = Traffic()
    _ = engine.open(task, counting=True) if workload == "open" else engine.run(workload, handle, task)
    answer["requests"] = CountingStore.traffic.requests
    answer["request_bytes"] = CountingStore.traffic.bytes


def main() -> int:
    job = json.loads(sys.argv[1])
    # Only the answer goes to standard output, whatever a library prints.
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        answer = measure(job)
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
