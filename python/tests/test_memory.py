"""A fixed share of the memory campaigns (`bench/memory.py`), each read in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).parents[2] / "bench" / "memory.py"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the growth of a process is Linux' to tell")
def test_reads_stay_within_plan_and_limit(tmp_path):
    done = subprocess.run(
        [sys.executable, str(DRIVER), "small"],
        env={**os.environ, "LAZARR_MEMORY_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
