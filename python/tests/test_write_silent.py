"""A bucket that falls silent while it is written: Ctrl-C does not wait for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import servers
from quiet import PROGRAM, Quiet

import lazarr as lz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

PATIENCE = 60.0
"""Seconds after which the test gives up; a server may be silent for 300 until a write says so."""


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
            # Before it ends it would take away what it has put: not while nobody answers.
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            between.close()
        with pytest.raises(FileNotFoundError):
            lz.open("s3://bucket/a.zarr", storage_options=bucket.options)
