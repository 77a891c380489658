#!/usr/bin/env python3
"""From Ctrl-C to its exception, while a server is silent: opening, reading and writing, 20 times each.

python bench/ctrl_c.py
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python" / "tests"))
import servers
from quiet import PROGRAM, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 20
ALLOWED_MS = 200.0


def start(program: str) -> Any:
    """A process that runs this."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def line_of(process: Any) -> str:
    """What it says next; where it has ended instead, its error is shown."""
    line: str = process.stdout.readline()
    if not line:
        raise RuntimeError(process.stderr.read() or "the process ended without a word")
    return line


def once(files: servers.Files, what: str) -> float:
    """Milliseconds from the signal to the exception."""
    program = textwrap.dedent(f"""
        import sys, time, lazarr as lz
        options = {{"read_timeout": "60s", "retry_timeout": "60s"}}
        if {what!r} == "read":
            adata = lz.open({files.url!r} + "/a.zarr", storage_options=options)
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            if {what!r} == "open":
                lz.open({files.url!r} + "/a.zarr", storage_options=options)
            else:
                adata.to_memory()
        except KeyboardInterrupt:
            print(time.time(), flush=True)
    """)
    files.server.hang.clear()
    process = start(program)
    try:
        line_of(process)
        files.taken()
        files.server.hang.set()
        process.stdin.write("go\n")
        process.stdin.flush()
        while not files.taken():
            time.sleep(0.01)
        time.sleep(0.3)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        return (float(line_of(process)) - sent) * 1e3
    finally:
        files.server.hang.clear()
        process.kill()
        process.wait()


def while_writing(bucket: Any) -> float:
    """The same of a write, whose bucket falls silent in the middle."""
    between = Quiet(bucket.options["endpoint"])
    options = {**bucket.options, "endpoint": between.url}
    process = start(PROGRAM)
    try:
        process.stdin.write(json.dumps([f"s3://bucket/{time.time_ns()}.zarr", options]) + "\n")
        process.stdin.flush()
        line_of(process)
        between.silent.set()
        process.stdin.write("go\n")
        process.stdin.flush()
        between.swallowed.wait()
        time.sleep(0.3)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        return (float(line_of(process)) - sent) * 1e3
    finally:
        process.kill()
        process.wait()
        between.close()


def main() -> int:
    # What a shell starts in the background takes no notice of Ctrl-C, and hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        x = sp.random(200, 40, 0.2, format="csr", dtype="f4", random_state=2)
        ad.AnnData(x).write_zarr(Path(folder, "a.zarr"))
        files = servers.Files(Path(folder))
        worst = 0.0
        print("| while | median ms | worst ms |")
        print("|---|--:|--:|")
        cases: dict[str, Callable[[], float]] = {
            what: partial(once, files, what) for what in ("open", "read")
        }
        bucket = stack.enter_context(servers.moto(Path(folder)))
        cases["write"] = partial(while_writing, bucket)
        for what, case in cases.items():
            took = sorted(case() for _ in range(TIMES))
            worst = max(worst, took[-1])
            print(f"| {what} | {took[TIMES // 2]:.0f} | {took[-1]:.0f} |", flush=True)
        print(f"ctrl-c: at worst {worst:.0f} ms (allowed: {ALLOWED_MS:.0f})")
        files.server.stop.set()
    return 0 if worst <= ALLOWED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
