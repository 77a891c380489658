"""Each encoding, in both formats, by itself: the very types that anndata reads."""

from __future__ import annotations

import warnings

import anndata as ad
import awkward as ak
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from same import same

import lazarr as lz

RECORDS = np.array(
    [("a", 1.0, "zé", 3), ("bc", -0.0, "w", 4)], dtype=[("n", "U3"), ("v", "f8"), ("o", "O"), ("i", "i2")]
)
ELEMENTS = {
    "strings": np.array(["a", "bé", ""], dtype=object),
    "strings-2d": np.array([["a", "bé"], ["", "c"]]),
    "no-strings": np.array([], dtype=object).astype("U1"),
    "string": "héllo",
    "empty-string": "",
    **{
        f"scalar-{t}": np.dtype(t).type(1.5)
        for t in ("?", "i1", "u2", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
    },
    **{
        f"array-{t}": np.arange(6).reshape(2, 3).astype(t)
        for t in ("?", "i1", "u2", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
    },
    "datetime": np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
    "empty": np.empty((0, 3), "f4"),
    "nullable-string": pd.array(["a", None, "cé"], dtype="string"),
    "nullable-str": pd.array(["a", None, "cé"], dtype="str"),
    "nullable-empty": pd.array([], dtype="string"),
    **{
        f"nullable-{t}": pd.array([1, None, 3], dtype=t)
        for t in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt64")
    },
    "nullable-boolean": pd.array([True, None, False], dtype="boolean"),
    "cat": pd.Categorical(["b", "a", None], categories=["b", "a", "unused"], ordered=True),
    "cat-int": pd.Categorical([3, 1, 3]),
    "cat-float": pd.Categorical([0.5, np.nan]),
    "cat-bool": pd.Categorical([True, False]),
    "cat-many": pd.Categorical([str(i) for i in range(300)]),
    "cat-none": pd.Categorical([None, None], categories=[]),
    "table": pd.DataFrame(
        {"i": [1, 2], "c": pd.Categorical(["x", "y"]), "é": [0.5, np.nan]}, index=["r", "s"]
    ),
    "table-named": pd.DataFrame({"i": [1, 2]}, index=pd.Index(["r", "s"], name="cell")),
    "table-int": pd.DataFrame({"i": [1, 2]}, index=pd.Index([5, 4])),
    "table-empty": pd.DataFrame(index=["r", "s"]),
    "table-none": pd.DataFrame({"a": np.empty(0, "f4")}, index=pd.Index([], dtype=str)),
    "csr": sp.random(5, 4, 0.5, format="csr", dtype="f4", random_state=1),
    "csc": sp.random(5, 4, 0.5, format="csc", dtype="f8", random_state=1),
    "csr-none": sp.csr_matrix((5, 4), dtype="i4"),
    "csr-nothing": sp.csr_matrix((0, 0)),
    "records": RECORDS,
    "awkward": ak.Array([[1, 2], [], [3]]),
    "awkward-records": ak.Array([{"a": 1, "b": ["x", "é"]}, {"a": 2, "b": []}]),
    "dict": {"a": 1, "b": {"c": "d", "e": None}, "f": {}},
    "null": None,
}


@pytest.mark.parametrize("fmt", [2, 3])
@pytest.mark.parametrize("name", ELEMENTS)
def test_element(name, fmt, tmp_path):
    with warnings.catch_warnings(), ad.settings.override(allow_write_nullable_strings=True):
        warnings.simplefilter("ignore")
        group = zarr.open_group(tmp_path / "e.zarr", mode="w", zarr_format=fmt)
        ad.io.write_elem(group, "x", ELEMENTS[name])
        expected = ad.io.read_elem(group["x"])
    ours = lz.open(tmp_path / "e.zarr" / "x")
    same(None if ours is None else ours.to_memory(), expected)
    if hasattr(expected, "shape") and not name.startswith("awkward"):
        assert ours.shape == expected.shape
    if hasattr(expected, "dtype") and not name.startswith(("strings", "no-", "records")):
        assert ours.dtype == expected.dtype or str(ours.dtype) == str(expected.dtype)


def test_raw_alone(tmp_path):
    a = ad.AnnData(np.ones((3, 2), "f4"), varm={"w": np.zeros((2, 2))})
    a.raw = a
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.write_zarr(tmp_path / "r.zarr")
        expected = ad.io.read_elem(zarr.open_group(tmp_path / "r.zarr", mode="r")["raw"])
        same(lz.open(tmp_path / "r.zarr" / "raw").to_memory(), expected)


def test_names_that_are_numbers_are_spelled(tmp_path):
    a = ad.AnnData(np.ones((3, 2), "f4"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.write_zarr(tmp_path / "n.zarr")
        group = zarr.open_group(tmp_path / "n.zarr", mode="r+", use_consolidated=False)
        del group["obs"]
        ad.io.write_elem(group, "obs", pd.DataFrame({"q": [1, 2, 3]}, index=pd.Index([7, 8, 9])))
        zarr.consolidate_metadata(tmp_path / "n.zarr")
        expected = ad.read_zarr(tmp_path / "n.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = lz.open(tmp_path / "n.zarr").to_memory()
    same(ours, expected)
    same(lz.open(tmp_path / "n.zarr")[["8"]].to_memory(), expected[["8"]].copy())


def test_big_endian_and_fortran(tmp_path):
    for order in ("C", "F"):
        p = tmp_path / f"{order}.zarr"
        z = zarr.create_array(p, shape=(5, 3), chunks=(2, 2), dtype=">i4", zarr_format=2, order=order)
        z[:] = np.arange(15).reshape(5, 3)
        got = lz.open(p).to_memory()
        assert got.dtype == np.dtype("i4")
        np.testing.assert_array_equal(got, np.arange(15).reshape(5, 3))
