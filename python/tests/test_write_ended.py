"""A writer to a bucket that is ended: what stands there is the old or nothing, and who comes next is told, or goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import obstore
import pytest
from quiet import PROGRAM
from test_shell import _command

import lazarr as lz

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture
def url(bucket, request):
    return f"{bucket.url}/ended/{abs(hash(request.node.nodeid))}.zarr"


def keys(bucket, url):
    prefix = url.removeprefix(f"{bucket.url}/")
    found = [one["path"] for batch in obstore.list(bucket.store, prefix) for one in batch]
    return sorted(path.removeprefix(prefix + "/") for path in found)


def half_written(bucket, url, sent):
    """A process that has put some values, and gets this signal then. How it ended, and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(json.dumps([url, bucket.options]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "some\n"
        assert [key for key in keys(bucket, url) if key != ".lazarr-lock"]
        process.send_signal(sent)
        said, _ = process.communicate("go\n", timeout=120)
    finally:
        process.kill()
        process.wait()
    return process.returncode, said


@pytest.mark.parametrize("over", [False, True], ids=["new", "over"])
def test_ctrl_c(bucket, url, over):
    if over:
        lz.write({"old": np.arange(5)}, url, storage_options=bucket.options)
    code, said = half_written(bucket, url, signal.SIGINT)
    assert code == 0
    assert float(said) > 0, "it was not interrupted"
    # Of a store that was written over its other values may be left, for the next writer to clear.
    assert over or keys(bucket, url) == []
    with pytest.raises(FileNotFoundError):
        lz.open(url, storage_options=bucket.options)
    lz.write({"new": np.arange(7)}, url, storage_options=bucket.options)
    assert list(lz.open(url, storage_options=bucket.options)) == ["new"]


@pytest.mark.parametrize("over", [False, True], ids=["new", "over"])
def test_killed(bucket, url, over):
    if over:
        lz.write({"old": np.arange(5)}, url, storage_options=bucket.options)
    code, _ = half_written(bucket, url, signal.SIGKILL)
    assert code == -signal.SIGKILL
    with pytest.raises(FileNotFoundError):
        lz.open(url, storage_options=bucket.options)
    # Its claim is younger than 15 minutes.
    with pytest.raises(lz.LazarrError, match="LZ0802"):
        lz.write({"new": np.arange(7)}, url, overwrite=True, storage_options=bucket.options)
    # What its help says: the folder is deleted.
    prefix = url.removeprefix(f"{bucket.url}/")
    obstore.delete(bucket.store, [f"{prefix}/{key}" for key in keys(bucket, url)])
    lz.write({"new": np.arange(7)}, url, storage_options=bucket.options)
    assert list(lz.open(url, storage_options=bucket.options)) == ["new"]


def test_shell(bucket, url, tmp_path):
    """The command writes to a bucket, and from there to there."""
    lz.write({"new": np.arange(7)}, tmp_path / "store.zarr")
    words = [
        f"--storage={name}={str(value).lower() if value is True else value}"
        for name, value in bucket.options.items()
    ]
    command = _command()
    for source, to in ((tmp_path / "store.zarr", url), (url, f"{url[:-5]}-again.zarr")):
        done = subprocess.run(
            [command, "write", source, to, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "hush" not in done.stdout + done.stderr
        np.testing.assert_array_equal(
            lz.open(to, storage_options=bucket.options)["new"].to_memory(), np.arange(7)
        )
    done = subprocess.run([command, "write", url, to, *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "LZ0801" in done.stderr
