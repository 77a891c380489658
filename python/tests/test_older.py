"""What is written is read by older releases of anndata, with zarr-python 2 and 3 and with zarrs, as by today's.

The releases stand in environments of their own, `.venv-anndata-0.11` and `.venv-anndata-0.12` (tools/venv.sh makes
them, as `make test` does).
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import reader_digest
import zarr
from stores import as_it_is, random_anndata, write

import lazarr as lz

ROOT = Path(__file__).parents[2]
STORES = int(os.environ.get("LAZARR_OLDER", "12"))
UNKNOWN = {"0.11": {"null"}, "0.12": set()}
"""Encodings that a release does not know."""
PRESETS = list(lz.Layout.PRESETS)


@pytest.fixture(scope="module")
def written(tmp_path_factory, seed):
    """Random objects, written by lazarr in each format; with what today's anndata reads in them."""
    folder = tmp_path_factory.mktemp("older")
    found = {2: {}, 3: {}}
    for number in range(STORES):
        rng = np.random.default_rng([seed, number, 31])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(rng, random_anndata(rng), str(folder / f"source-{number}.zarr"))
        source = lz.open(folder / f"source-{number}.zarr")
        for zarr_format in (2, 3):
            out = folder / f"{number}-v{zarr_format}.zarr"
            layout = as_it_is(PRESETS[number % len(PRESETS)], zarr_format)
            lz.write(source, out, layout=layout, zarr_format=zarr_format, sync=False)
            pipeline = zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})
            with warnings.catch_warnings(), pipeline:
                warnings.simplefilter("ignore")
                found[zarr_format][str(out)] = reader_digest.read(str(out))
    return found


@pytest.mark.parametrize(
    ("release", "zarr_format", "flags"),
    [("0.11", 2, []), ("0.12", 2, []), ("0.12", 3, []), ("0.12", 3, ["--zarrs"])],
    ids=["0.11-v2", "0.12-v2", "0.12-v3", "0.12-v3-zarrs"],
)
def test_a_release(written, release, zarr_format, flags):
    python = ROOT / f".venv-anndata-{release}" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"anndata {release} is not installed (tools/venv.sh anndata-{release})")
    script = Path(__file__).with_name("reader_digest.py")
    done = subprocess.run(
        [python, script, *flags, *written[zarr_format]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["anndata"].startswith(release)
    seen = set()
    for store, expected in written[zarr_format].items():
        theirs = read["stores"][store]
        unknown = {path: kind.split()[1] for path, kind in theirs.items() if str(kind).startswith("unknown")}
        seen |= set(unknown.values())
        known = {path: value for path, value in expected.items() if path not in unknown}
        if unknown:
            known.pop("shape", None)
        assert {path: theirs.get(path) for path in known} == known, store
    assert seen <= UNKNOWN[release]
