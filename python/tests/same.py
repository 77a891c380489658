"""Whether two results are the same: types, dtypes, values, structure and order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp


def same(a, b, at="") -> None:
    """Raises AssertionError naming the place where `a` (ours) and `b` (anndata's) differ."""
    module = type(b).__module__.split(".")[0]
    if module == "anndata" and hasattr(b, "obs") and hasattr(b, "uns"):
        same_anndata(a, b, at)
    elif module == "awkward":
        import awkward as ak

        assert type(a).__module__.startswith("awkward"), (at, type(a))
        assert ak.to_list(a) == ak.to_list(b), at
        assert str(a.type) == str(b.type), (at, a.type, b.type)
    elif sp.issparse(b):
        same_sparse(a, b, at)
    elif isinstance(b, pd.DataFrame):
        assert isinstance(a, pd.DataFrame), (at, type(a))
        assert list(a.columns) == list(b.columns), (at, list(a.columns), list(b.columns))
        assert a.columns.dtype == b.columns.dtype, (at, a.columns.dtype, b.columns.dtype)
        assert a.index.dtype == b.index.dtype, (at, a.index, b.index)
        assert a.index.name == b.index.name, (at, a.index.name, b.index.name)
        assert a.index.equals(b.index), (at, a.index, b.index)
        for k in b.columns:
            same(a[k].array, b[k].array, f"{at}/{k}")
    elif isinstance(b, pd.Series | pd.Index):
        same(a.array, b.array, at)
    elif isinstance(b, pd.Categorical):
        assert isinstance(a, pd.Categorical), (at, type(a))
        assert a.ordered == b.ordered, at
        assert a.categories.dtype == b.categories.dtype, (at, a.categories, b.categories)
        same(a.categories.array, b.categories.array, f"{at}/categories")
        assert a.codes.dtype == b.codes.dtype, (at, a.codes.dtype, b.codes.dtype)
        np.testing.assert_array_equal(a.codes, b.codes, err_msg=at)
    elif isinstance(b, pd.api.extensions.ExtensionArray) and not isinstance(b, pd.arrays.NumpyExtensionArray):
        assert type(a) is type(b), (at, type(a), type(b))
        assert a.dtype == b.dtype, (at, a.dtype, b.dtype)
        np.testing.assert_array_equal(np.asarray(a.isna()), np.asarray(b.isna()), err_msg=at)
        assert a[~a.isna()].tolist() == b[~b.isna()].tolist(), at
    elif isinstance(b, np.ndarray | pd.arrays.NumpyExtensionArray):
        same_array(a, b, at)
    elif isinstance(b, dict) or hasattr(b, "keys"):
        assert sorted(map(str, a.keys())) == sorted(map(str, b.keys())), (at, list(a.keys()), list(b.keys()))
        for k in b.keys():  # noqa: SIM118 - anndata's mappings
            same(a[k], b[k], f"{at}/{k}")
    elif b is None:
        assert a is None, (at, a)
    elif isinstance(b, float | complex):
        assert type(a) is type(b), (at, type(a), type(b))
        assert a == b or (a != a and b != b), (at, a, b)
    else:
        assert type(a) is type(b), (at, type(a), type(b))
        assert a == b, (at, a, b)


def same_array(a, b, at) -> None:
    a, b = (x.to_numpy() if isinstance(x, pd.arrays.NumpyExtensionArray) else x for x in (a, b))
    assert isinstance(a, np.ndarray), (at, type(a))
    assert a.shape == b.shape, (at, a.shape, b.shape)
    native = b.dtype if b.dtype.kind in "TO" else b.dtype.newbyteorder("=")
    assert a.dtype == native, (at, a.dtype, b.dtype)
    if b.dtype.names:
        for name in b.dtype.names:
            same_array(np.asarray(a[name]), np.asarray(b[name]), f"{at}.{name}")
    elif b.dtype.kind in "fc":
        np.testing.assert_array_equal(a, b, err_msg=at)
        real = a.real[a.real == 0], b.real[b.real == 0]
        np.testing.assert_array_equal(
            np.signbit(real[0]), np.signbit(real[1]), err_msg=f"{at}: signs of zeros"
        )
    else:
        assert a.tolist() == b.tolist(), (at, a, b)


def same_sparse(a, b, at) -> None:
    assert type(a) is type(b), (at, type(a), type(b))
    assert a.shape == b.shape, (at, a.shape, b.shape)
    assert a.dtype == b.dtype, (at, a.dtype, b.dtype)
    # Whatever width is stored, ours is the one that scipy itself would build.
    assert a.indices.dtype == a.indptr.dtype == np.int32, (at, a.indices.dtype, a.indptr.dtype)
    np.testing.assert_array_equal(a.indptr, b.indptr, err_msg=f"{at}/indptr")
    np.testing.assert_array_equal(a.indices, b.indices, err_msg=f"{at}/indices")
    np.testing.assert_array_equal(a.data, b.data, err_msg=f"{at}/data")


def same_anndata(a, b, at="") -> None:
    assert a.shape == b.shape, (at, a.shape, b.shape)
    same(a.X, b.X, f"{at}/X")
    same(a.obs, b.obs, f"{at}/obs")
    same(a.var, b.var, f"{at}/var")
    for place in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        ours, theirs = ({k: v for k, v in getattr(x, place).items() if k is not None} for x in (a, b))
        same(ours, theirs, f"{at}/{place}")
    # anndata forgets a raw without cells when it reads.
    assert (a.raw is None) == (b.raw is None) or b.n_obs == 0, at
    if b.raw is not None:
        same(a.raw.X, b.raw.X, f"{at}/raw/X")
        same(a.raw.var, b.raw.var, f"{at}/raw/var")
        same(dict(a.raw.varm), dict(b.raw.varm), f"{at}/raw/varm")
