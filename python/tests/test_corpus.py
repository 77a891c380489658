"""Real stores: what lazarr reads has the digest of what anndata reads; plain arrays are those that zarr-python reads."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import zarr
from same import same

import lazarr as lz

CORPUS = Path(os.environ.get("LAZARR_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")

if not CORPUS.is_dir():
    pytest.skip(f"there is no corpus at {CORPUS}; set LAZARR_CORPUS", allow_module_level=True)


def _digest():
    spec = importlib.util.spec_from_file_location("corpus_digest", CORPUS / "digest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _items():
    """Path in the corpus, path of the AnnData in the store, file of its truth."""
    for item in json.loads((CORPUS / "manifest.json").read_text()):
        if not item["name"].endswith((".zarr", ".zarr.zip")):
            continue
        for key, truth in item["truth"].items():
            inner = "" if key == "." else key.removeprefix("#")
            yield pytest.param(
                item["name"], inner, truth["file"], id=f"{item['name']}{key.removeprefix('.')}"
            )


ITEMS = list(_items())


def test_there_are_stores_of_every_age():
    names = " ".join(item.id for item in ITEMS)
    for age in ("/0.7/", "w07_", "anndata-0.8", "w10_", "anndata-0.12", "#tables/"):
        assert age in names, age


@pytest.mark.parametrize(("name", "inner", "truth"), ITEMS)
def test_digest_is_the_truth(name, inner, truth):
    digest = _digest()
    expected = json.loads((CORPUS / "truth" / truth).read_text())
    found = digest.digest(lz.open(CORPUS / "stores" / name / inner).to_memory())
    assert digest.compare(expected, found, strict_dtype=True) == []


@pytest.mark.parametrize(("name", "inner", "truth"), ITEMS)
def test_views_are_those_of_anndata(name, inner, truth):
    lazy = lz.open(CORPUS / "stores" / name / inner)
    whole = lazy.to_memory()
    rows, cols = slice(1, None, 2), list(whole.var_names[::-1][:3].unique())
    same(lazy[rows, cols].to_memory(), whole[rows, cols].copy())


CONFORMANCE = CORPUS / "zarr-conformance"

# What zarr-python itself cannot read: there is nothing to compare with. The value is whether lazarr reads it.
NOT_IN_ZARR_PYTHON = {
    "zarrita/v2/data.zarr/1d.contiguous.json2.O": False,  # Python objects as JSON: left out on purpose
    "zarrs/codec/bitround/bitround_float32.zarr": True,
    "zarrs/codec/bitround/bitround_uint8.zarr": True,
    "zarrs/v2/array_pcodec_C.zarr": True,
    "zarrs/v2/array_zfpy_C.zarr": False,  # zfp is a feature that is off
    "zarrs/v3/array_optional.zarr/array": False,  # an extension of zarrs alone
    "zarrs/v3/array_optional_nested.zarr/array": False,
    "zarrs/v3/array_pcodec.zarr": True,
    "zarrs/v3/array_zfpy.zarr": False,
    "zarrs/v3_zarr_python/array_pcodec.zarr": True,
    "zarrs/v3_zarr_python/array_zfpy.zarr": False,
}

# A fill value of 0 in a string array was zarr-python 2's way to have none; zarr-python 3 reads the text "0".
FILL_0 = "zarrs/zarr_python_compat/str_v2_fv_0.zarr"


def _arrays():
    for directory, _, files in os.walk(CONFORMANCE):
        path = Path(directory)
        v3 = "zarr.json" in files and json.loads((path / "zarr.json").read_text())["node_type"] == "array"
        if v3 or ".zarray" in files:
            yield path.relative_to(CONFORMANCE).as_posix()


ARRAYS = sorted(_arrays())


def test_there_are_arrays():
    assert len(ARRAYS) >= 140
    assert set(ARRAYS) >= NOT_IN_ZARR_PYTHON.keys() | {FILL_0}


@pytest.mark.parametrize("name", [a for a in ARRAYS if a not in NOT_IN_ZARR_PYTHON])
def test_arrays_are_those_of_zarr_python(name):
    expected = np.asarray(zarr.open_array(CONFORMANCE / name, mode="r")[...])
    found = np.asarray(lz.open(CONFORMANCE / name).to_memory())
    assert found.shape == expected.shape
    if name == FILL_0:
        assert (found.tolist(), expected.tolist()) == (["a", "bb", "", "", ""], ["a", "bb", "", "", "0"])
        return
    if expected.ndim and expected.dtype.kind not in "TO":
        assert found.dtype == expected.dtype.newbyteorder("=")
    if expected.dtype.kind in "fcmM":
        np.testing.assert_array_equal(found, expected)
    else:
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(("name", "read"), NOT_IN_ZARR_PYTHON.items())
def test_what_zarr_python_cannot_read(name, read):
    with pytest.raises(Exception):  # noqa: B017, PT011 - as soon as it can, the array moves to the test above
        zarr.open_array(CONFORMANCE / name, mode="r")[...]
    if read:
        lz.open(CONFORMANCE / name).to_memory()
    else:
        with pytest.raises(lz.UnsupportedError):
            lz.open(CONFORMANCE / name)
