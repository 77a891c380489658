"""Random sets of stores that can be concatenated, and whether what comes is what anndata makes of them in memory."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

FLOATS = ["f4", "f8"]
INTS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4"]


def _values(rng, shape, dtype):
    dtype = np.dtype(dtype)
    x = rng.integers(0, 5, shape) if dtype.kind != "b" else rng.random(shape) < 0.5
    return x.astype(dtype)


def matrix(rng, n, m, kinds):
    """A matrix of one of these kinds."""
    kind = rng.choice(kinds)
    x = _values(rng, (n, m), rng.choice(FLOATS + INTS[:4]))
    x = np.where(rng.random((n, m)) < 0.6, 0, x).astype(x.dtype)
    if kind == "dense":
        return x
    return (sp.csr_matrix if kind == "csr" else sp.csc_matrix)(x)


def column(rng, n, kind):
    """A column of a kind: columns of one kind can be concatenated without objects."""
    gone = rng.random(n) < rng.choice([0, 0.3])
    if kind == "float":
        x = _values(rng, n, rng.choice(FLOATS)).astype(rng.choice(FLOATS))
        x[gone] = np.nan
        return x
    if kind == "int":
        return _values(rng, n, rng.choice(INTS))
    if kind == "bool":
        return _values(rng, n, "?")
    if kind == "text":
        return rng.choice(np.array(["a", "zé", "", "long text"], dtype=object), n)
    if kind == "Int":
        x = pd.array(rng.integers(0, 9, n), dtype=rng.choice(["Int8", "Int32", "Int64", "UInt8"]))
    elif kind == "boolean":
        x = pd.array(rng.random(n) < 0.5, dtype="boolean")
    elif kind == "string":
        x = pd.array(rng.choice(np.array(["p", "q"], dtype=object), n), dtype="string")
    else:
        pool = ["T1", "T2", "T10", "B", "b", "NK"]
        cats = list(rng.permutation(pool)[: rng.integers(1, 5)])
        if kind == "ordered":
            cats = ["low", "mid", "high"]
        if kind == "numbers":
            cats = [int(i) for i in rng.permutation(6)[:3]]
        codes = rng.integers(0, len(cats), n)
        codes[gone] = -1
        return pd.Categorical.from_codes(codes, cats, ordered=kind == "ordered")
    x[gone] = pd.NA
    return x


KINDS = ["float", "int", "bool", "text", "Int", "boolean", "string", "cat", "ordered", "numbers"]


def parts(rng):
    """Some objects; what they have in common, and in which order, is random."""
    pool = [f"g{i}" for i in range(12)]
    same_genes = rng.random() < 0.4
    genes = list(rng.permutation(pool)[: rng.integers(1, 9)])
    kinds = [["csr"], ["csr", "csc"], ["dense"], ["csr", "dense"]][rng.integers(4)]
    columns = {f"c{k}": rng.choice(KINDS) for k in range(rng.integers(0, 6))}
    out = []
    tables = rng.random() < 0.4
    for k in range(rng.integers(1, 5)):
        n = int(rng.choice([0, 1, 5, 17])) if rng.random() < 0.3 else int(rng.integers(3, 20))
        own = genes if same_genes else list(rng.permutation(pool)[: rng.integers(1, 12)])
        obs = pd.DataFrame(
            index=[f"cell{i}" for i in range(n)] if rng.random() < 0.3 else [f"p{k}c{i}" for i in range(n)]
        )
        for name in rng.permutation(list(columns)):
            if rng.random() < 0.85:
                obs[name] = column(rng, n, columns[name])
        var = pd.DataFrame(index=own)
        var["length"] = [len(g) for g in own]
        var["part"] = k
        var["tag"] = pd.Categorical([g[-1] for g in own])
        a = ad.AnnData(X=matrix(rng, n, len(own), kinds), obs=obs, var=var)
        for name in ("counts", "other"):
            if rng.random() < 0.7:
                a.layers[name] = matrix(rng, n, len(own), kinds)
        if rng.random() < 0.7:
            a.obsm["pca"] = _values(rng, (n, rng.integers(1, 5)), rng.choice(FLOATS))
        if rng.random() < 0.4:
            a.obsm["cube"] = _values(rng, (n, 3), "f4")
        if tables:
            a.obsm["table"] = pd.DataFrame(
                {"u": column(rng, n, "int"), "v": column(rng, n, "cat")}, index=obs.index
            )
        a.varm["load"] = _values(rng, (len(own), 2), "f8")
        a.uns["same"] = "x"
        a.uns["differs"] = {"k": int(k), "fixed": np.arange(3)}
        if k == 0 or rng.random() < 0.5:
            a.uns["first"] = np.arange(4)
        if kinds == ["csr"] and n and rng.random() < 0.8:  # anndata forgets a raw without cells
            a.raw = a.copy()
        out.append(a)
    return out


def options(rng, n):
    """Arguments of concat."""
    how = {"join": str(rng.choice(["inner", "outer"]))}
    if rng.random() < 0.5:
        how["label"] = "batch"
    if rng.random() < 0.5:
        how["keys"] = [f"k{i}" for i in rng.permutation(n)]
    if rng.random() < 0.5:
        how["index_unique"] = "-"
    if rng.random() < 0.5:
        how["merge"] = str(rng.choice(["same", "unique", "first", "only"]))
    if rng.random() < 0.3:
        how["uns_merge"] = str(rng.choice(["same", "unique", "first", "only"]))
    return how


def alike(a, b, at=""):
    """Values, types and categories are the same; stored values may stand in another order in their rows."""
    if isinstance(b, ad.AnnData):
        assert a.shape == b.shape, (at, a.shape, b.shape)
        assert list(a.obs_names) == list(b.obs_names), (at, a.obs_names, b.obs_names)
        assert list(a.var_names) == list(b.var_names), (at, a.var_names, b.var_names)
        alike(a.X, b.X, f"{at}/X")
        alike(a.obs, b.obs, f"{at}/obs")
        alike(a.var, b.var, f"{at}/var")
        for place in ("layers", "obsm", "varm", "varp", "uns"):
            ours, theirs = ({k: v for k, v in getattr(x, place).items() if k is not None} for x in (a, b))
            alike(ours, theirs, f"{at}/{place}")
        assert (a.raw is None) == (b.raw is None), (at, "raw")
        if b.raw is not None:
            assert list(a.raw.var_names) == list(b.raw.var_names), at
            alike(a.raw.X, b.raw.X, f"{at}/raw/X")
    elif isinstance(b, pd.DataFrame):
        assert list(a.columns) == list(b.columns), (at, list(a.columns), list(b.columns))
        for name in b.columns:
            alike(a[name], b[name], f"{at}/{name}")
    elif isinstance(b, pd.Series):
        _column(a, b, at)
    elif sp.issparse(b):
        assert sp.issparse(a), (at, type(a))
        assert a.format == b.format, (at, a.format, b.format)
        assert a.dtype == b.dtype, (at, a.dtype, b.dtype)
        np.testing.assert_array_equal(a.toarray(), b.toarray(), err_msg=at)
    elif isinstance(b, np.ndarray):
        assert a.dtype == b.dtype, (at, a.dtype, b.dtype)
        np.testing.assert_array_equal(a, b, err_msg=at)
    elif hasattr(b, "keys"):
        assert set(a) == set(b), (at, set(a), set(b))
        for name in b:
            alike(a[name], b[name], f"{at}/{name}")
    else:
        assert a is b or a == b, (at, a, b)


def _column(a, b, at):
    if isinstance(b.dtype, pd.CategoricalDtype):
        assert isinstance(a.dtype, pd.CategoricalDtype), (at, a.dtype)
        assert a.cat.categories.tolist() == b.cat.categories.tolist(), (
            at,
            a.cat.categories,
            b.cat.categories,
        )
        assert a.cat.ordered == b.cat.ordered, at
    elif (
        b.dtype.kind in "biufM"
        or str(b.dtype) in {"boolean"}
        or str(b.dtype).lower().startswith(("int", "uint"))
    ):
        assert str(a.dtype) == str(b.dtype), (at, a.dtype, b.dtype)
    gone = b.isna().to_numpy()
    np.testing.assert_array_equal(a.isna().to_numpy(), gone, err_msg=at)
    assert a[~gone].tolist() == b[~gone].tolist(), (at, a.tolist(), b.tolist())
