#!/usr/bin/env python3
"""From Ctrl-C to its exception, while a server is silent: opening and reading, 20 times each.

python bench/ctrl_c.py
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

import anndata as ad
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python" / "tests"))
import servers

TIMES = 20
ALLOWED_MS = 200.0


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
    process: Any = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdout.readline()
        files.taken()
        files.server.hang.set()
        process.stdin.write("go\n")
        process.stdin.flush()
        while not files.taken():
            time.sleep(0.01)
        time.sleep(0.3)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        return (float(process.stdout.readline()) - sent) * 1e3
    finally:
        files.server.hang.clear()
        process.kill()
        process.wait()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        x = sp.random(200, 40, 0.2, format="csr", dtype="f4", random_state=2)
        ad.AnnData(x).write_zarr(Path(folder, "a.zarr"))
        files = servers.Files(Path(folder))
        worst = 0.0
        print("| while | median ms | worst ms |")
        print("|---|--:|--:|")
        for what in ("open", "read"):
            took = sorted(once(files, what) for _ in range(TIMES))
            worst = max(worst, took[-1])
            print(f"| {what} | {took[TIMES // 2]:.0f} | {took[-1]:.0f} |", flush=True)
        print(f"ctrl-c: at worst {worst:.0f} ms (allowed: {ALLOWED_MS:.0f})")
        files.server.stop.set()
    return 0 if worst <= ALLOWED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
