"""One text for equal values, whichever class holds them: scipy's, numpy's, pandas', anndata's, Arrow's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np


def canon(x) -> str:
    """A digest of values, structure and order. Index widths and the class of an array do not count."""
    h = hashlib.sha256()
    for part in parts(x):
        h.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
        h.update(b"\0")
    return h.hexdigest()[:16]


def parts(x):
    import pandas as pd
    import scipy.sparse as sp

    module = type(x).__module__.split(".")[0]
    if x is None:
        yield "none"
    elif sp.issparse(x):
        yield f"{x.format} {x.shape} {x.dtype}"
        major = np.repeat(np.arange(len(x.indptr) - 1), np.diff(x.indptr))
        order = np.lexsort((x.indices, major))
        yield from (x.indptr.astype("i8").tobytes(), x.indices[order].astype("i8").tobytes())
        yield from parts(x.data[order])
    elif isinstance(x, pd.DataFrame):
        yield f"table {list(map(str, x.columns))}"
        yield from parts(x.index)
        for k in range(x.shape[1]):
            yield from parts(x.iloc[:, k])
    elif isinstance(x, pd.Series | pd.Index):
        yield from parts(x.array)
    elif isinstance(x, pd.Categorical):
        yield f"categorical {x.ordered}"
        yield from parts(np.asarray(x.categories))
        yield x.codes.astype("i8").tobytes()
    elif isinstance(x, pd.api.extensions.ExtensionArray) and not isinstance(x, pd.arrays.NumpyExtensionArray):
        yield "column" if "str" in str(x.dtype) else f"column {x.dtype}"
        missing = np.asarray(x.isna())
        yield missing.tobytes()
        yield from parts(np.asarray(x[~missing].tolist(), dtype=object))
    elif module == "awkward":
        import awkward as ak

        yield f"awkward {x.type}"
        yield repr(ak.to_list(x))
    elif module == "pyarrow":
        yield repr(x.to_pylist())
    elif isinstance(x, np.ndarray | np.void | pd.arrays.NumpyExtensionArray):
        yield from array_parts(np.asarray(x))
    elif hasattr(x, "obs") and hasattr(x, "uns"):
        yield f"anndata {x.shape}"
        for place in ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"):
            yield place
            yield from parts(getattr(x, place))
        if x.raw is not None:
            yield from raw_parts(x.raw)
    elif hasattr(x, "X") and hasattr(x, "varm"):
        yield from raw_parts(x)
    elif isinstance(x, Mapping) or hasattr(x, "keys"):
        names = sorted(str(k) for k in x.keys() if k is not None)  # noqa: SIM118 - anndata's mappings
        yield f"mapping {names}"
        for name in names:
            yield from parts(x[name])
    elif isinstance(x, list | tuple):
        yield f"{len(x)} values"
        for item in x:
            yield from parts(item)
    else:
        yield f"{type(x).__name__ if isinstance(x, bool | np.generic) else 'scalar'} {x!s}"


def raw_parts(raw):
    yield "raw"
    for value in (raw.X, raw.var, dict(raw.varm)):
        yield from parts(value)


def array_parts(a):
    if a.dtype.names:
        yield f"fields {a.dtype.names} {a.shape}"
        for name in a.dtype.names:
            yield from array_parts(np.asarray(a[name]))
    elif a.dtype.kind in "OTUS":
        yield f"strings {a.shape}"
        yield from (str(item) for item in a.ravel().tolist())
    else:
        yield f"{a.dtype.newbyteorder('=').str} {a.shape}"
        if a.dtype.kind == "f":
            a = np.where(np.isnan(a), np.array(np.nan, a.dtype), a)
        yield np.ascontiguousarray(a).tobytes()
