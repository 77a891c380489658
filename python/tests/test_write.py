"""What is written is read by lazarr, anndata and zarr-python as what it was.

LAZARR_WRITES says how many random stores are written; where it is set, each is in every preset.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from same import same
from stores import as_it_is, random_anndata, read, write

import lazarr as lz

WRITES = int(os.environ.get("LAZARR_WRITES", "12"))
ALL = "LAZARR_WRITES" in os.environ
PRESETS = list(lz.Layout.PRESETS)
TINY = lz.Layout(
    [
        {"path": "**", "chunk": {"items": 7}, "shard": {"items": 21}, "codec": "zstd"},
        {"path": "obsm", "role": "dense", "chunk": {"rows": 3}, "codec": "lz4"},
        {"path": "X", "chunk": {"rows": 2}, "checksum": False},
    ]
)


def theirs(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(str(path))


@pytest.mark.parametrize("number", range(WRITES))
def test_random_stores(number, seed, tmp_path):
    rng = np.random.default_rng([seed, number, 7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(rng, random_anndata(rng), str(tmp_path / "s.zarr"))
    lazy, expected = lz.open(tmp_path / "s.zarr"), theirs(tmp_path / "s.zarr")
    for zarr_format in (2, 3):
        some = [PRESETS[(number + zarr_format) % 6], PRESETS[(2 * number) % 6]]
        # Other formats than they have are those of test_transpose.
        presets = (as_it_is(name, zarr_format) for name in (PRESETS if ALL else some))
        for layout in (*presets, TINY):
            for what in (lazy, expected):
                out = tmp_path / "out.zarr"
                done = lz.write(what, out, layout=layout, zarr_format=zarr_format, overwrite=True, sync=False)
                at = f"{number} {layout} {zarr_format} {type(what)}"
                assert done.arrays > 4
                same(lz.open(out).to_memory(), expected, at)
                same(theirs(out), expected, at)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    group = zarr.open_group(out, mode="r", use_consolidated=False)
                    assert sorted(group) == sorted(zarr.open_consolidated(out))


def small():
    x = sp.random(50, 20, 0.3, format="csr", dtype=np.float32, random_state=1)
    obs = pd.DataFrame({"k": pd.Categorical(list("abcde") * 10), "n": np.arange(50)})
    obs.index = obs.index.astype(str)
    return ad.AnnData(x, obs=obs, obsm={"X_pca": np.arange(150.0).reshape(50, 3)})


def test_a_selection(tmp_path):
    lz.write(small(), tmp_path / "a.zarr")
    adata = lz.open(tmp_path / "a.zarr")
    view = adata[adata.obs["k"] == "b", [3, 1]]
    lz.write(view, tmp_path / "b.zarr", layout="random")
    back = theirs(tmp_path / "b.zarr")
    # All categories are written; a view in memory drops those that it does not use.
    assert list(back.obs["k"].cat.categories) == list("abcde")
    back.obs["k"] = back.obs["k"].cat.remove_unused_categories()
    same(back, view.to_memory())
    lz.write(adata.X[5:9], tmp_path / "x.zarr")
    same(lz.open(tmp_path / "x.zarr").to_memory(), adata.X[5:9].to_memory())
    lz.write(adata.obs, tmp_path / "obs.zarr")
    same(lz.open(tmp_path / "obs.zarr").to_memory(), adata.obs.to_memory())
    lz.write(adata.obs["k"][3:8], tmp_path / "k.zarr")
    same(lz.open(tmp_path / "k.zarr").to_memory(), adata.obs["k"][3:8].to_memory().array)


def test_replace_and_drop(tmp_path):
    lz.write(small(), tmp_path / "a.zarr")
    adata = lz.open(tmp_path / "a.zarr")
    new = np.ones((50, 2))
    lz.write(
        adata, tmp_path / "b.zarr", replace={"obsm/X_new": new, "uns/a/b": 3}, drop=["obsm/X_pca", "obs/n"]
    )
    back = lz.open(tmp_path / "b.zarr").to_memory()
    assert list(back.obsm) == ["X_new"]
    assert back.uns["a"]["b"] == 3
    with pytest.raises(lz.KeyNotFoundError, match="left out"):
        lz.write(adata, tmp_path / "c.zarr", drop=["obsm", "obsm/X_pca", "obs/m"])
    assert not (tmp_path / "c.zarr").exists()


def test_blocks_of_rows(tmp_path):
    lz.write(small(), tmp_path / "a.zarr")
    x = lz.open(tmp_path / "a.zarr").X
    lz.write(iter(x.iter_rows(rows=7)), tmp_path / "x.zarr")
    same(lz.open(tmp_path / "x.zarr").to_memory(), x.to_memory())
    lz.write((np.full((2, 3), i) for i in range(4)), tmp_path / "d.zarr")
    assert lz.open(tmp_path / "d.zarr").to_memory()[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]

    def broken():
        yield np.ones((2, 3))
        raise KeyError("nothing left")

    with pytest.raises(KeyError, match="nothing left"):
        lz.write(broken(), tmp_path / "e.zarr")
    with pytest.raises(lz.LazarrError, match="another width"):
        lz.write(iter([np.ones((2, 3)), np.ones((2, 4))]), tmp_path / "e.zarr")
    assert not (tmp_path / "e.zarr").exists()
    assert [p.name for p in tmp_path.iterdir() if "lazarr" in p.name] == []


def test_layouts_are_data(tmp_path):
    layout = lz.Layout.preset("rows").with_rule(
        "obsm/X_pca", chunk={"rows": 10}, codec="zstd:5", dtype="float32"
    )
    assert lz.Layout.from_dict(layout.to_dict()) == layout
    lz.write(small(), tmp_path / "a.zarr", layout=layout)
    pca = zarr.open(tmp_path / "a.zarr")["obsm/X_pca"]
    assert (pca.chunks, pca.dtype) == ((10, 3), np.dtype("f4"))
    for bad in (
        "fast",
        {"rules": [{"path": "X", "chunk": {"rows": 0}}]},
        {"rules": [{"path": "X", "codec": "zip"}]},
    ):
        with pytest.raises(ValueError, match="LZ0805"):
            lz.write(small(), tmp_path / "b.zarr", layout=bad)
    narrow = layout.with_rule("obs/n", dtype="int8").with_rule("obsm", dtype="int8")
    with pytest.raises(ValueError, match="no place in int8"):
        lz.write(small(), tmp_path / "b.zarr", layout=narrow)
    assert not (tmp_path / "b.zarr").exists()


def test_indices_of_other_widths(tmp_path):
    x = sp.random(300, 200, 0.1, format="csr", random_state=1)
    for form in ("csr", "csc"):
        layout = lz.Layout.preset("rows")
        layout.indices = "smallest"
        lz.write(ad.AnnData(x.asformat(form)), tmp_path / "a.zarr", layout=layout, overwrite=True)
        indices = zarr.open(tmp_path / "a.zarr")["X/indices"]
        assert indices.dtype == np.dtype("u1" if form == "csr" else "u2")
        same(lz.open(tmp_path / "a.zarr").X.to_memory(), x.asformat(form))
        # anndata hands on the types that are stored, with its own setting for it as with this one.
        assert (theirs(tmp_path / "a.zarr").X.toarray() == x.toarray()).all()


def test_existing_stores_are_kept(tmp_path):
    lz.write(small(), tmp_path / "a.zarr")
    with pytest.raises(lz.StoreError, match="LZ0801"):
        lz.write(small()[:3], tmp_path / "a.zarr")
    assert lz.open(tmp_path / "a.zarr").shape == (50, 20)
    lz.write(lz.open(tmp_path / "a.zarr")[:3], tmp_path / "a.zarr", overwrite=True)
    assert lz.open(tmp_path / "a.zarr").shape == (3, 20)


WRITER = """
import sys, numpy as np, lazarr as lz
def blocks():
    for i in range(10**6):
        print(i, flush=True)
        yield np.full((1000, 100), i)
lz.write(blocks(), sys.argv[1], overwrite=True)
"""


def start(path):
    words = [sys.executable, "-W", "ignore", "-c", WRITER, str(path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(5):
        assert process.stdout.readline()
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_end_in_the_middle(how, tmp_path):
    path = tmp_path / "a.zarr"
    lz.write(small(), path)
    process = start(path)
    with pytest.raises(lz.StoreError, match="LZ0802"):
        lz.write(small(), path, overwrite=True)
    assert lz.repair(tmp_path) == []
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    same(lz.open(path).to_memory(), small())
    left = lz.repair(tmp_path, dry_run=True)
    assert len(left) == (how == signal.SIGKILL)
    assert lz.repair(tmp_path) == left
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith("lock")] in ([], [".a.zarr.lazarr-lock"])
    lz.write(small()[:9], path, overwrite=True)
    assert lz.open(path).shape == (9, 20)


def test_what_has_no_form(tmp_path):
    for bad in ({"a": object()}, {"a": b"bytes"}, {"a": np.array([1, "x"], dtype=object)}, {"a/b": 1}):
        with pytest.raises(lz.LazarrError):
            lz.write(bad, tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_optimize_writes_and_measures_both(tmp_path, seed):
    rng = np.random.default_rng([seed, 91])
    x = sp.random(1500, 40, 0.2, format="csr", dtype=np.float32, random_state=rng)
    adata = ad.AnnData(x)
    adata.write_zarr(tmp_path / "a.zarr")
    done = lz.optimize(tmp_path / "a.zarr", tmp_path / "b.zarr", "random")
    assert (lz.open(tmp_path / "b.zarr").X.to_memory() != x).nnz == 0
    assert set(done.before.seconds) == {"1,000 rows", "random rows", "one gene", "all of X"}
    assert set(done.after.seconds) == set(done.before.seconds)
    assert all(s > 0 for card in (done.before, done.after) for s in card.seconds.values())
    files = [p for p in (tmp_path / "b.zarr").rglob("*") if p.is_file()]
    assert (done.after.files, done.after.bytes) == (len(files), sum(p.stat().st_size for p in files))
    assert "all of X" in str(done)
    assert "all of X" in done._repr_html_()
    with pytest.raises(TypeError, match="whole AnnData"):
        lz.optimize(lz.open(tmp_path / "a.zarr").X, tmp_path / "c.zarr")


def test_a_function_chooses_for_single_arrays(tmp_path, seed):
    rng = np.random.default_rng([seed, 92])
    adata = ad.AnnData(sp.random(50, 20, 0.3, format="csr", random_state=rng))
    adata.obsm["wide"] = rng.random((50, 30))
    asked = {}

    def choose(path, role, shape, dtype):
        asked[path] = (role, shape, dtype)
        return {"chunk": {"shape": [9, 7]}, "codec": "zstd:2", "shard": "none"} if role == "dense" else None

    lz.write(adata, tmp_path / "s.zarr", choose=choose)
    group = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert group["obsm/wide"].chunks == (9, 7)
    assert asked["obsm/wide"] == ("dense", (50, 30), "float64")
    assert {path: asked[path][0] for path in ("X/data", "X/indices", "X/indptr", "obs/_index")} == {
        "X/data": "data",
        "X/indices": "indices",
        "X/indptr": "indptr",
        "obs/_index": "column",
    }
    np.testing.assert_array_equal(ad.read_zarr(tmp_path / "s.zarr").obsm["wide"], adata.obsm["wide"])

    def fails(path, role, shape, dtype):
        raise ZeroDivisionError(path)

    with pytest.raises(ZeroDivisionError):
        lz.write(adata, tmp_path / "t.zarr", choose=fails)
    with pytest.raises(lz.LazarrError, match="layout"):
        lz.write(adata, tmp_path / "t.zarr", choose=lambda *_: {"chunks": 3})
    assert not (tmp_path / "t.zarr").exists()
