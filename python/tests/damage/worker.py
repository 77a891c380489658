"""Reads stores in processes of their own: a crash, a hang, or memory without end is seen and ends nothing else.

`python -m damage.worker` takes a job a line: `{"path", "paths", "engine"}`; for each it forks, runs the paths, and
answers a line with an outcome for each. Engines: `lazarr`, `anndata` (read_zarr), `anndata-lazy` (read_lazy).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pickle
import resource
import select
import signal
import sys
import time
import warnings

LIMIT = 32 << 20
"""The memory that lazarr is allowed."""
ROOM = 48 << 20
"""What Python, the conversions and the allocator may take beside it."""
CEILING = 1 << 30
"""Beyond this an allocation fails: nothing here needs as much."""
SECONDS = 10


def high_water() -> int:
    """Peak of the resident memory since the last call of `forget_peak`, in bytes."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def forget_peak() -> int:
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    return high_water()


def describe(e: BaseException) -> dict:
    """An exception as data."""
    import lazarr as lz

    out = {"type": type(e).__name__, "text": str(e)[:2000], "lazarr": isinstance(e, lz.LazarrError)}
    if out["lazarr"]:
        out |= {
            k: getattr(e, k) for k in ("code", "element", "key", "byte_range", "expected", "found", "help")
        }
    return out


def read_anndata(path: str, *, lazy: bool = False):
    import anndata as ad
    import zarr

    where = zarr.storage.ZipStore(path, mode="r") if path.endswith(".zip") else path
    return ad.experimental.read_lazy(where).to_memory() if lazy else ad.read_zarr(where)


def run_lazarr(job: dict, say) -> None:
    import lazarr as lz
    from damage.canon import canon
    from damage.paths import LateError, paths, plans

    truth = pickle.loads(job["truth"])
    wanted = job.get("only")
    options = {"memory_limit": LIMIT, "threads": 2, "audit": True}
    shared = None
    for name, run in [("open", lambda _: None), *plans(truth), *paths(truth)]:
        if wanted is not None and not is_wanted(name, wanted):
            continue
        say({"path": name, "begin": True})
        before = forget_peak()
        started = time.perf_counter()
        out: dict = {"path": name}
        try:
            # A handle of its own: nothing that an earlier path found may help. Elements and slices share one.
            if name.startswith(("element", "slice", "numpy")):
                if shared is None:
                    shared = lz.open(job["path"], **options)
                opened = shared
            else:
                opened = lz.open(job["path"], **options)
            if not isinstance(opened, lz.AnnData) and name != "open":
                # What is not an AnnData any more is read as what it is.
                out["kind"] = type(opened).__name__
                if name == "whole":
                    out["value"] = canon(opened.to_memory())
                say(out)
                continue
            value = run(opened)
            out["value"] = None if name.startswith(("plan", "repr", "open")) else canon(value)
        except LateError as e:
            out["error"], out["before"] = describe(e.error), e.is_right(truth)
        except Exception as e:  # noqa: BLE001 - whatever it is, it is judged
            out["error"] = describe(e)
        out["grew"] = high_water() - before
        out["seconds"] = round(time.perf_counter() - started, 4)
        say(out)


def is_wanted(name: str, place: str) -> bool:
    """Whether a path has to do with an element (`X`, `obs/num`); the whole, and its views, have with all."""
    verb, _, what = name.partition(" ")
    if verb == "view" and what not in {"rows", "columns", "cat == T cell"}:
        return place.startswith(("obs", "var", "obsm/X_pca"))
    if verb not in {"element", "slice", "numpy", "stream", "arrow"}:
        return True
    path = what.partition("[")[0].partition(" ")[0]
    return place.startswith(path) or path.startswith(place)


def run_anndata(job: dict, say) -> None:
    from damage.canon import canon

    say({"path": "whole", "begin": True})
    before = forget_peak()
    out: dict = {"path": "whole"}
    try:
        out["value"] = canon(read_anndata(job["path"], lazy=job["engine"] == "anndata-lazy"))
    except MemoryError as e:
        out["memory"] = str(e)[:200]
    except BaseException as e:  # noqa: BLE001
        out["error"] = {"type": type(e).__name__, "text": str(e)[:300]}
    out["grew"] = high_water() - before
    say(out)


def run_truth(job: dict, say) -> None:
    """What anndata reads of a store, through each path: the right answers."""
    from damage.canon import canon
    from damage.paths import paths

    truth = read_anndata(job["path"])
    if change := job.get("change"):
        truth = change(truth) or truth
    say({"path": "truth", "object": pickle.dumps(truth).hex()})
    for name, run in paths(truth):
        say({"path": name, "value": canon(run(truth))})


RUN = {"lazarr": run_lazarr, "anndata": run_anndata, "anndata-lazy": run_anndata, "truth": run_truth}


def fork(job: dict) -> dict:
    """Runs a job in a child; every outcome that it told, and how it ended."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            child(job, write)
        finally:
            os._exit(0)
    os.close(write)
    seconds = job.get("seconds", SECONDS)
    text, quiet = b"", time.monotonic()
    hung = False
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, quiet + seconds - time.monotonic()))
        if not ready:
            hung = True
            os.kill(pid, signal.SIGKILL)
            break
        piece = os.read(read, 1 << 16)
        if not piece:
            break
        text, quiet = text + piece, time.monotonic()
    os.close(read)
    _, status = os.waitpid(pid, 0)
    outcomes: dict[str, dict] = {}
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # cut by the end
        outcomes[said["path"]] = said
    for said in outcomes.values():
        if said.pop("begin", False):
            signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            said["hang" if hung else "crash"] = seconds if hung else signalled
    return {"outcomes": outcomes, "ended": not hung and os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0}


def child(job: dict, write: int) -> None:
    with open("/proc/self/statm") as f:
        pages = int(f.read().split()[0])
    limit = pages * resource.getpagesize() + job.get("ceiling", CEILING)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    errors = os.open(job["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if job.get("stderr") else null
    os.dup2(errors, 2)
    warnings.simplefilter("ignore")

    def say(what: dict) -> None:
        data = (json.dumps(what, default=str) + "\n").encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(write, data) :]

    try:
        RUN[job["engine"]](job, say)
    except BaseException as e:  # noqa: BLE001
        say({"path": "runner", "error": {"type": type(e).__name__, "text": str(e)[:2000]}})


def warm(path: str) -> None:
    """Imports everything and reads a whole store once, so that a case's memory is its own."""
    import lazarr as lz

    for name in ("anndata", "awkward", "pandas", "pyarrow", "scipy.sparse", "zarr"):
        importlib.import_module(name)
    whole = lz.open(path, threads=1).to_memory()
    job = {"path": path, "truth": pickle.dumps(whole)}
    run_lazarr(job, lambda _: None)
    # What stands now is never collected in a child: that would copy it.
    gc.collect()
    gc.freeze()


def main() -> None:
    warnings.simplefilter("ignore")
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while True:
        size = stdin.read(8)
        if len(size) < 8:
            return
        job = pickle.loads(stdin.read(int.from_bytes(size, "little")))
        if job["engine"] == "warm":
            warm(job["path"])
            answer: dict = {}
        else:
            answer = fork(job)
        data = json.dumps(answer).encode()
        stdout.write(len(data).to_bytes(8, "little") + data)
        stdout.flush()


if __name__ == "__main__":
    main()
