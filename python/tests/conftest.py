"""What tests share. Every store is opened with its reads audited: one that no plan named is an error."""

from __future__ import annotations

import functools
import os
import signal
import sys
from pathlib import Path

import pytest

import lazarr as lz

sys.path.insert(0, str(Path(__file__).parent))

# What a shell starts in the background takes no notice of Ctrl-C, and hands that on to what tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

_open = lz.open


@functools.wraps(_open)
def audited(path, **kwargs):
    return _open(path, **{"audit": True, **kwargs})


@pytest.fixture(scope="session", autouse=True)
def _audit():
    lz.open = audited
    yield
    lz.open = _open


@pytest.fixture(scope="session")
def seed() -> int:
    return int(os.environ.get("LAZARR_SEED", "20251"))


@pytest.fixture(scope="session", params=["moto", "seaweedfs", "s3s-fs", "azurite"])
def bucket(request, tmp_path_factory):
    """A bucket of each server that is written to, see `servers.Bucket`."""
    import servers

    with servers.bucket(request.param, tmp_path_factory.mktemp("bucket")) as found:
        yield found


def pytest_report_header() -> str:
    return f"lazarr {lz.__version__}, optimised: {lz._lazarr.OPTIMISED}, seed {os.environ.get('LAZARR_SEED', '20251')}"
