"""Stores that are appended to, changed and compared: as anndata would have them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from same import same_anndata

import lazarr as lz


def cells(rng, n, kinds=("a", "b"), genes=30):
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(rng.choice(kinds, n)),
            "n": rng.integers(0, 9, n),
            "left": pd.array(rng.integers(0, 3, n), dtype="Int64"),
            "name": rng.choice(["one", "another"], n),
        },
        index=[f"c{rng.integers(1 << 40)}" for _ in range(n)],
    )
    x = sp.random(n, genes, 0.3, format="csr", dtype=np.float32, random_state=rng)
    made = ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(genes)]))
    made.layers["dense"] = x.toarray()
    made.obsm["X_pca"] = rng.random((n, 4))
    return made


def inodes(path):
    return {
        str(p.relative_to(path)): p.stat().st_ino for p in path.rglob("*") if p.is_file() and "c" in p.parts
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("by", ["anndata", "lazarr"])
def test_what_is_appended_to_is_what_anndata_joins(tmp_path, seed, zarr_format, by):
    rng = np.random.default_rng([seed, zarr_format])
    parts = [cells(rng, 700), cells(rng, 40, ("b", "c")), cells(rng, 3, ("c",))]
    path = tmp_path / "s.zarr"
    if by == "anndata":
        with ad.settings.override(zarr_write_format=zarr_format):
            parts[0].write_zarr(path, chunks=(100, 30))
    else:
        layout = lz.Layout.preset("random", zarr_format=zarr_format)
        lz.write(parts[0], path, layout=layout.with_rule("**", role="column", chunk={"rows": 64}))
    for k, part in enumerate(parts[1:]):
        part.write_zarr(tmp_path / f"{k}.zarr")
    lz.append(path, [tmp_path / "0.zarr", lz.open(tmp_path / "1.zarr")])
    wanted = ad.concat(parts, merge="same")
    found = ad.read_zarr(path)
    assert list(found.obs["kind"].cat.categories) == ["a", "b", "c"]
    same_anndata(found, wanted)
    same_anndata(lz.open(path).to_memory(), wanted)


@pytest.mark.parametrize(("mine", "new"), [("ac", "b"), ("b", "ac"), ("ab", "c"), ("cab", "b"), ("b", "a")])
def test_categories_between_those_that_are_there(tmp_path, seed, mine, new):
    """What full chunks of codes say stays what it was, wherever new categories come to stand."""
    rng = np.random.default_rng([seed, 7])
    parts = [cells(rng, 300, tuple(mine)), cells(rng, 50, tuple(new)), cells(rng, 9, ("aa",))]
    parts[0].obs["kind"] = parts[0].obs["kind"].cat.reorder_categories(list(mine))
    layout = lz.Layout.preset("rows").with_rule("**", role="column", chunk={"rows": 64})
    lz.write(parts[0], tmp_path / "s.zarr", layout=layout)
    for k, part in enumerate(parts[1:], 1):
        lz.write(part, tmp_path / "new.zarr", overwrite=True)
        lz.append(tmp_path / "s.zarr", tmp_path / "new.zarr")
        wanted = ad.concat(parts[: k + 1], merge="same")
        same_anndata(lz.open(tmp_path / "s.zarr").to_memory(), wanted)
        same_anndata(ad.read_zarr(tmp_path / "s.zarr"), wanted)


def test_full_files_stay(tmp_path, seed):
    rng = np.random.default_rng([seed, 5])
    lz.write(
        cells(rng, 900),
        tmp_path / "s.zarr",
        layout=lz.Layout.preset("rows").with_rule("layers/dense", chunk={"rows": 100}, shard="none"),
    )
    before = inodes(tmp_path / "s.zarr")
    lz.write(cells(rng, 50), tmp_path / "new.zarr")
    lz.append(tmp_path / "s.zarr", tmp_path / "new.zarr")
    after = inodes(tmp_path / "s.zarr")
    kept = [name for name, inode in before.items() if after.get(name) == inode]
    assert len([name for name in kept if name.startswith("layers/dense")]) == 9


def test_elements_are_put_in_and_taken_out(tmp_path, seed):
    rng = np.random.default_rng([seed, 6])
    adata = cells(rng, 60)
    path = tmp_path / "s.zarr"
    adata.write_zarr(path)
    before = inodes(path)
    score, umap = rng.random(60), rng.random((60, 2))
    lz.write_into(path, {"obs/score": score, "obsm/X_umap": umap}, drop=["layers/dense", "obs/n"])
    adata.obs["score"] = score
    adata.obsm["X_umap"] = umap
    del adata.layers["dense"], adata.obs["n"]
    same_anndata(ad.read_zarr(path), adata)
    after = inodes(path)
    untouched = [name for name in before if name.startswith("X/")]
    assert untouched
    assert all(after[name] == before[name] for name in untouched)
    with pytest.raises(lz.LazarrError, match="there already"):
        lz.write_into(path, {"obs/score": score})
    with pytest.raises(lz.LazarrError, match="nothing here"):
        lz.write_into(path, drop=["obs/scre"])
    same_anndata(ad.read_zarr(path), adata)
    lz.write_into(path, {"obs/score": -score}, overwrite=True)
    np.testing.assert_array_equal(ad.read_zarr(path).obs["score"], -score)
    with pytest.raises(lz.LazarrError):
        lz.write_into(path, {"obs/short": score[:5]})
    assert "short" not in lz.open(path).obs.columns


def test_what_differs_is_named(tmp_path, seed):
    rng = np.random.default_rng([seed, 7])
    adata = cells(rng, 60)
    lz.write(adata, tmp_path / "a.zarr")
    lz.write(adata, tmp_path / "b.zarr", layout="genes", zarr_format=2)
    assert lz.diff(tmp_path / "a.zarr", tmp_path / "b.zarr") == []
    assert {d.element for d in lz.diff(tmp_path / "a.zarr", tmp_path / "b.zarr", strict=True)} == {"X"}
    other = adata.copy()
    other.X[3, 4] += 1
    other.obs["kind"] = other.obs["kind"].cat.rename_categories({"a": "z"})
    other.obsm["X_pca"][7, 1] = np.nan
    del other.obs["n"]
    other.uns["more"] = 3
    lz.write(other, tmp_path / "c.zarr")
    found = {d.element: d for d in lz.diff(tmp_path / "a.zarr", lz.open(tmp_path / "c.zarr"))}
    assert set(found) == {"X", "obs/kind", "obsm/X_pca", "obs/n", "uns/more"}
    assert (found["X"].what, found["X"].at, found["X"].count) == ("values", (3, 4), 1)
    assert found["obs/n"].what == "only in the first"
    assert found["uns/more"].what == "only in the second"
    assert found["obsm/X_pca"].at == (7, 1)
    assert found["obs/kind"].count == int((adata.obs["kind"] == "a").sum())
    with pytest.raises(TypeError, match="whole stores"):
        lz.diff(lz.open(tmp_path / "a.zarr")[:5], tmp_path / "a.zarr")


def test_what_cannot_be_appended_is_refused_and_nothing_changes(tmp_path, seed):
    rng = np.random.default_rng([seed, 8])
    adata = cells(rng, 60)
    path = tmp_path / "s.zarr"
    adata.write_zarr(path)
    other = cells(rng, 5, genes=31)
    other.write_zarr(tmp_path / "other.zarr")
    with pytest.raises(lz.LazarrError, match="other genes"):
        lz.append(path, tmp_path / "other.zarr")
    less = cells(rng, 5)
    del less.obsm["X_pca"]
    less.write_zarr(tmp_path / "less.zarr")
    with pytest.raises(lz.LazarrError, match="no such element"):
        lz.append(path, tmp_path / "less.zarr")
    with pytest.raises(TypeError, match="cells of an AnnData"):
        lz.append(path, lz.open(path).X)
    same_anndata(ad.read_zarr(path), adata)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
