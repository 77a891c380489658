"""A small store of counts, as it is written after sequencing: a matrix in many chunks, typed obs, embeddings."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr

KINDS = ["T cell", "B cell", "NK cell", "Monocyte"]


def counts(rng, n, m):
    """Counts with four kinds of cells, each with genes of its own."""
    kind = rng.integers(0, len(KINDS), n)
    mean = rng.gamma(0.3, 1.0, m)
    lift = np.ones((len(KINDS), m))
    own = m // 10
    for k in range(len(KINDS)):
        lift[k, k * own : (k + 1) * own] = 6
    x = rng.poisson(np.minimum(mean, 8) * lift[kind] * rng.lognormal(0, 0.3, (n, 1)) + 0.02)
    return sp.csr_matrix(x.astype(np.float32)), kind


def adata_of(rng, n=2000, m=300, *, more=True):
    """The object in memory."""
    x, kind = counts(rng, n, m)
    names = [f"cell{i:05d}" for i in range(n)]
    genes = ["MT-CO1", "MT-ND1", *(f"gene{j:04d}" for j in range(2, m))]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(kind, KINDS),
            "batch": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "score": rng.random(n),
            "donor": pd.array(rng.choice(["d1", "d2"], n), dtype="str"),
        },
        index=names,
    )
    var = pd.DataFrame({"mito": [g.startswith("MT-") for g in genes]}, index=genes)
    a = ad.AnnData(x, obs=obs, var=var)
    if more:
        a.layers["dense"] = x.toarray()
        a.layers["csc"] = sp.csc_matrix(x)
        a.obsm["X_umap"] = rng.random((n, 2)).astype("f4")
        a.obsm["table"] = pd.DataFrame({"p": rng.random(n)}, index=names)
        a.varm["PCs"] = rng.random((m, 5))
        a.obsp["near"] = sp.random(n, n, 0.002, format="csr", random_state=1)
        a.uns["title"] = "counts"
        a.uns["cell_type_colors"] = np.array(["#111111", "#222222", "#333333", "#444444"])
        a.raw = ad.AnnData(x.copy(), var=var, obs=pd.DataFrame(index=names))
    return a


def write(a, path, *, inner=2048, shard=16384):
    """Writes it, X in chunks of so many stored values."""
    path = str(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.write_zarr(path)
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        for place in ("X", "raw/X"):
            if place not in group:
                continue
            for name, (chunks, shards) in {
                "data": (inner, shard), "indices": (inner, shard), "indptr": (512, 4096)
            }.items():  # fmt: skip
                old = group[f"{place}/{name}"]
                value, attrs = old[...], dict(old.attrs)
                group.create_array(
                    f"{place}/{name}", shape=value.shape, dtype=value.dtype, chunks=(chunks,), shards=(shards,),
                    attributes=attrs, overwrite=True,
                )[...] = value  # fmt: skip
        zarr.consolidate_metadata(path)
    return path
