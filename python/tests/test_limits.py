"""Limits on metadata, stores that cannot be listed, and the pages of errors."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

import lazarr as lz

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A store whose metadata is not consolidated."""
    path = tmp_path_factory.mktemp("limits") / "plain.zarr"
    obs = pd.DataFrame({"k": pd.Categorical(list("ab") * 10)}, index=[f"c{i}" for i in range(20)])
    adata = ad.AnnData(
        sp.random(20, 10, 0.3, format="csr", dtype="f4", rng=np.random.default_rng(1)),
        obs=obs,
        obsm={"X_pca": np.ones((20, 3))},
        layers={"counts": np.arange(200.0).reshape(20, 10)},
        uns={"tree": {"leaf": np.arange(3), "other": "text"}},
    )
    adata.write_zarr(path)
    root = path / "zarr.json"
    if root.exists():
        document = json.loads(root.read_text())
        document.pop("consolidated_metadata", None)
        root.write_text(json.dumps(document))
    else:
        (path / ".zmetadata").unlink()
    return path


def unlisted(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lz.NotConsolidated)
        return lz.open(path, listing=False, **options)


# ── limits ──


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lz.NotConsolidated)
        yield


@pytest.mark.usefixtures("quiet")
def test_a_limit_holds_and_its_error_says_how_to_raise_it(plain):
    with pytest.raises(lz.InvalidStoreError, match="the limit nodes") as e:
        lz.open(plain, limits={"nodes": 5})
    assert e.value.code == "LZ0206"
    assert "at most 5" in e.value.expected
    raised = int(re.search(r"nodes=(\d+)", e.value.help)[1])
    assert raised > 5
    with pytest.raises(lz.InvalidStoreError, match="metadata_bytes"):
        lz.open(plain, limits=lz.Limits(metadata_bytes="50 B"))
    broken = lz.open(plain, limits={"chunk_bytes": 100})
    with pytest.raises(lz.InvalidStoreError, match="chunk_bytes"):
        broken.layers["counts"].to_memory()
    lz.open(plain, limits={"nodes": 1000, "metadata_bytes": "1MB"})


@pytest.mark.usefixtures("quiet")
def test_options_hold_for_what_is_opened_inside(plain):
    with lz.options(limits=lz.Limits(nodes=5, json_depth=100)):
        with pytest.raises(lz.InvalidStoreError, match="at most 5"):
            lz.open(plain)
        with lz.options(limits={"nodes": 6}), pytest.raises(lz.InvalidStoreError, match="at most 6"):
            lz.open(plain)
        lz.open(plain, limits={"nodes": 1000})  # the argument is nearer
    lz.open(plain)


@pytest.mark.usefixtures("quiet")
def test_limits_travel_with_a_pickle(plain):
    adata = lz.open(plain, limits={"chunk_bytes": 100})
    again = pickle.loads(pickle.dumps(adata))
    with pytest.raises(lz.InvalidStoreError, match="chunk_bytes"):
        again.layers["counts"].to_memory()
    limits = lz.Limits(nodes=3)
    assert pickle.loads(pickle.dumps(limits)) == limits
    assert hash(limits) == hash(lz.Limits(nodes=3))
    assert repr(limits) == "Limits(nodes=3)"


@pytest.mark.parametrize(
    ("limits", "error", "match"),
    [
        ({"node": 3}, TypeError, "did you mean 'nodes'"),
        ({"zebra": 3}, TypeError, "the limits are metadata_bytes, json_depth, nodes"),
        ({"nodes": "3"}, TypeError, "nodes is a number"),
        ({"nodes": True}, TypeError, "nodes is a number"),
        ({"nodes": 0}, ValueError, "nodes is 1 to"),
        ({"json_depth": 128}, ValueError, "json_depth is 1 to 127"),
        ({"metadata_bytes": "many"}, ValueError, "not understood"),
        ({"metadata_bytes": -1}, ValueError, "more than 0"),
        ([("nodes", 3)], TypeError, "a dict such as"),
        ({3: 3}, TypeError, "a dict such as"),
    ],
)
def test_wrong_limits_are_refused(plain, limits, error, match):
    with pytest.raises(error, match=match):
        lz.open(plain, limits=limits)
    with pytest.raises(error, match=match):
        lz.options(limits=limits)
    with pytest.raises(TypeError, match="did you mean 'nodes'"):
        lz.Limits(node=3)


def test_the_guide_has_the_limits_as_they_are():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d*) ?\|", GUIDE.read_text(), re.M)
    shown = [(name, int(default), int(most) if most else 2**63 - 1) for name, default, most in rows]
    assert shown == lz._lazarr.limits()
    for name, _, _ in shown:
        assert name in lz.Limits.__doc__


# ── stores that cannot be listed ──


def test_what_is_not_known_is_said(plain):
    adata = unlisted(plain)
    text = repr(adata)
    for place in ("uns", "obsm", "layers", "obsp"):
        assert f"    {place}: keys not known: pass names=[...] or open by path" in text
    assert "keys not known" in repr(adata.obsm)
    assert "keys not known" not in repr(lz.open(plain).obsm)
    # What AnnData must have is there.
    np.testing.assert_array_equal(adata.obs["k"].to_memory(), list("ab") * 10)
    assert adata.X.to_memory().shape == (20, 10)


def test_elements_of_a_store_that_cannot_be_listed_open_by_path(plain):
    adata = unlisted(plain)
    assert adata.obsm["X_pca"].to_memory().shape == (20, 3)
    assert adata[:5].layers["counts"].to_memory().shape == (5, 10)
    tree = adata.uns["tree"]
    assert "keys not known" in repr(tree)
    np.testing.assert_array_equal(tree["leaf"].to_memory(), [0, 1, 2])
    with pytest.raises(KeyError, match="cannot be listed"):
        adata.obsm["X_umap"]


def test_names_are_asked_for(plain):
    adata = unlisted(plain, names=["obsm/X_pca", "uns/tree/leaf", "obsm/none"])
    assert list(adata.obsm) == ["X_pca"]
    assert "other keys not known" in repr(adata)
    assert list(adata.uns["tree"]) == ["leaf"]
    assert list(pickle.loads(pickle.dumps(adata)).obsm) == ["X_pca"]
    memory = adata.to_memory()
    assert memory.obsm["X_pca"].shape == (20, 3)
    for names in ("obsm/X_pca", [3]):
        with pytest.raises(TypeError, match="names are paths"):
            lz.open(plain, names=names)


def test_a_store_says_once_that_it_is_not_consolidated(plain, tmp_path):
    path = tmp_path / "once.zarr"
    shutil.copytree(plain, path)
    with pytest.warns(lz.NotConsolidated, match=re.escape(f'zarr.consolidate_metadata("{path}")')) as seen:
        [lz.open(path) for _ in range(2)]
    assert len(seen) == 1
    assert issubclass(lz.NotConsolidated, UserWarning)
    zarr.consolidate_metadata(path)  # the line it names
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mended = lz.open(path, listing=False)
    assert list(mended.obsm) == ["X_pca"]


# ── pages ──


def test_a_page_for_an_error_that_was_raised(plain):
    with pytest.raises(KeyError) as e:
        unlisted(plain).obsm["X_umap"]
    page = lz.explain(e.value)
    assert page == lz.explain(e.value.code.lower())
    assert page.startswith(f"# {e.value.code}: ")
    assert "## What to do" in page
    assert repr(page) == page
    assert e.value.__notes__ == [f'lz.explain("{e.value.code}") says what it means and what to do']
    assert pickle.loads(pickle.dumps(e.value)).__notes__ == e.value.__notes__


def test_every_code_has_its_page():
    codes = [line.split("  ")[0] for line in lz.explain().splitlines()]
    assert len(codes) > 30
    for code in codes:
        assert lz.explain(code).startswith(f"# {code}: ")


def test_a_code_that_is_not_there():
    with pytest.raises(ValueError, match="LZ0302"):
        lz.explain("LZ03O2")
    with pytest.raises(TypeError, match="a code is a text"):
        lz.explain(302)
