"""One engine, one workload, one store, in a process of its own: measure and print one line of JSON.

With `--serve` the job comes on standard input, and after the first call each line `go` is one further call
(lockstep.py).
"""

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
from engines import CountingStore, Task, Traffic
from readers import engines


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
    if isinstance(result, tuple) and all(isinstance(x, np.ndarray) for x in result):
        # Sums in another order differ in their last digits.
        return f"moments {[len(x) for x in result]} " + " ".join(f"{float(np.sum(x)):.7g}" for x in result)
    if isinstance(result, tuple):
        return f"shape {tuple(int(x) for x in result)}"
    if isinstance(result, np.ndarray) and result.ndim == 2:
        return f"dense {result.shape} {crc(np.ascontiguousarray(result).ravel(), '<f8'):08x}"
    if isinstance(result, pd.DataFrame):
        parts = " ".join(digest(result[name])[-8:] for name in sorted(result.columns))
        return f"table {result.shape} {digest(result.index)[-8:]} {parts}"
    if hasattr(result, "to_pandas"):
        return f"arrow {result.shape} {digest(result.to_pandas())}"
    if hasattr(result, "shape"):
        return f"view {tuple(result.shape)}"
    if hasattr(result, "to_dict"):
        return f"plan {result.chunks.as_count} chunks"
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
    if isinstance(result, pd.DataFrame):
        return int(result.memory_usage().sum())
    if hasattr(result, "to_pandas"):
        return int(result.nbytes)
    return 0


class Subject:
    """An engine with its handle, ready to do its workload again and again."""

    def __init__(self, engine: Any, job: dict[str, Any]) -> None:
        self.engine = engine
        self.workload: str = job["workload"]
        self.task = Task(Path(job["path"]), job["facts"], job.get("threads"))
        if self.workload == "mask":
            _ = self.task.mask
        # Opened outside the clock, but for the workload that is the opening.
        self.handle = None if self.workload == "open" else engine.open(self.task)

    def call(self) -> Any:
        if self.workload == "open":
            return self.engine.open(self.task)
        return self.engine.run(self.workload, self.handle, self.task)

    def canonical(self, result: Any) -> str:
        return digest(self.engine.shape(result) if self.workload == "open" else result)

    def first(self) -> dict[str, Any]:
        """The first call: what it takes, and what it does to the process."""
        gc.collect()
        before = status_bytes("VmRSS") or peak_bytes()
        exact = reset_peak()
        io_before = kernel_reads()
        started = time.perf_counter()
        result = self.call()
        first = time.perf_counter() - started
        io_after = kernel_reads()
        growth = max(peak_bytes() - before, 0)
        answer: dict[str, Any] = {
            "first_s": first,
            "growth_bytes": growth,
            "growth_exact": exact,
            "result_bytes": size_of(result),
            "digest": self.canonical(result),
            "kernel_reads": None,
            "kernel_bytes": None,
            "requests": None,
            "request_bytes": None,
        }
        if io_before is not None and io_after is not None:
            answer["kernel_reads"] = io_after[0] - io_before[0]
            answer["kernel_bytes"] = io_after[1] - io_before[1]
        # What the libraries made at import is not looked at before each call: it would push out of the
        # caches what a floor, which has no collector, finds there.
        del result
        gc.collect()
        gc.freeze()
        return answer

    def again(self, check: str | None = None) -> tuple[float, float]:
        """A further call: its seconds, and the processor's. The result is let go outside of the clock."""
        gc.collect()
        processor = time.process_time()
        started = time.perf_counter()
        result = self.call()
        seconds = time.perf_counter() - started
        processor = time.process_time() - processor
        if check is not None and self.canonical(result) != check:
            raise ValueError("the second answer differs from the first")
        del result
        return seconds, processor


def subject(job: dict[str, Any]) -> Subject | str:
    """The engine at its work, or the reason why not."""
    engine = next(e for e in engines() if e.name == job["engine"])
    if missing := engine.prepare():
        return missing
    if not engine.offers(job["workload"]):
        return "it has no such thing"
    return Subject(engine, job)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    made = subject(job)
    if isinstance(made, str):
        return {"skipped": made}
    answer = made.first()
    times: list[float] = []
    # Slow ones are repeated less, and the table says how often.
    while len(times) < job["repeat"] and (not times or sum(times) + answer["first_s"] < job["patience_s"]):
        times.append(made.again(None if times else answer["digest"])[0])
    answer |= {"best_s": min(times), "repeats": len(times)}
    count_requests(made.engine, made.workload, made.task, answer)
    return answer


def serve() -> None:
    """Runs by turns with others, as lockstep.py says."""
    out = sys.stdout

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=out, flush=True)

    with contextlib.redirect_stdout(sys.stderr):
        made = subject(json.loads(sys.stdin.readline()))
        if isinstance(made, str):
            say({"skipped": made})
            return
        answer = made.first()
        say(answer)
        check: str | None = answer["digest"]
        for line in sys.stdin:
            if line.strip() == "go":
                seconds, processor = made.again(check)
                say({"seconds": seconds, "cpu": processor})
                check = None
            else:
                counts: dict[str, Any] = {}
                count_requests(made.engine, made.workload, made.task, counts)
                say(counts)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sys.argv[1] == "--serve":
            serve()
            return 0
        # Only the answer goes to standard output, whatever a library prints.
        with contextlib.redirect_stdout(sys.stderr):
            answer = measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
        print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
