"""A bucket that falls silent while it is written: Ctrl-C does not wait for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import servers
from quiet import PROGRAM, Quiet

import lazarr as lz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

PATIENCE = 60.0
"""Seconds after which the test gives up; a server may be silent for 300 until a write says so."""
CLEARING = 30.0
"""Seconds: half of what an interrupted write would wait for a bucket that is silent."""


def test_ctrl_c_while_the_bucket_is_silent(tmp_path):
    with servers.moto(tmp_path) as bucket:
        between = Quiet(bucket.options["endpoint"])
        options = {**bucket.options, "endpoint": between.url}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        try:
            process.stdin.write(json.dumps(["s3://bucket/a.zarr", options]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "some\n"
            between.silent.set()
            process.stdin.write("go\n")
            process.stdin.flush()
            assert between.swallowed.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline(), "it waits for the bucket"
            # Before it ends it would take away what it has put: not while nobody answers. A Ctrl-C that comes when it does
            # not wait yet ends the program, and leaves the waiting to the next.
            asked = time.monotonic()
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.1)
            assert process.returncode in (0, -signal.SIGINT)
            assert time.monotonic() - asked < CLEARING, "it waits for the bucket"
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            between.close()
        with pytest.raises(FileNotFoundError):
            lz.open("s3://bucket/a.zarr", storage_options=bucket.options)
