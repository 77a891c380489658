"""What an anndata, of whichever release, reads in stores: a digest of each element.

python reader_digest.py [--zarrs] STORE...     # one JSON object: store → path of an element → digest

An element of an encoding that the release does not know is `unknown: ENCODING`. This file is run by releases
from 0.11 on, so it has only what they have.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr

INNER = {"anndata", "raw", "dict", ""}
"""What is gone through; all else is read as one."""


def plain(value):
    """A value as lists, texts and numbers that say the same in every release."""
    if value is None:
        return None
    if sp.issparse(value):
        parts = (value.indptr.astype("i8"), value.indices.astype("i8"), value.data)
        return [value.format, list(value.shape), *map(plain, parts)]
    if isinstance(value, pd.DataFrame):
        columns = {str(key): plain(value[key].array) for key in value.columns}
        return [plain(value.index.array), value.index.name, list(columns), columns]
    if isinstance(value, pd.Categorical):
        return [bool(value.ordered), plain(value.categories.array), value.codes.astype("i8").tolist()]
    if isinstance(value, (pd.Series, pd.Index)):
        return plain(value.array)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        missing = np.asarray(pd.isna(value))
        if isinstance(value.dtype, (pd.StringDtype, pd.api.types.CategoricalDtype)):
            return [None if gone else str(text) for text, gone in zip(value, missing, strict=True)]
        if hasattr(value, "_mask"):
            return [
                str(value.dtype),
                [None if gone else x.item() for x, gone in zip(value._data, missing, strict=True)],
            ]
        return plain(np.asarray(value))
    if type(value).__module__.split(".")[0] == "awkward":
        import awkward as ak

        return ak.to_list(value)
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            return [list(value.dtype.names), [repr(row) for row in value.tolist()]]
        if value.dtype.kind in "OUTS":
            texts = [None if x is None or x is pd.NA or x != x else str(x) for x in value.ravel()]
            return texts if value.ndim == 1 else [list(value.shape), texts]
        return [
            value.dtype.str,
            list(value.shape),
            hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        ]
    if isinstance(value, (np.generic, bool, int, float, complex)) and not isinstance(value, str):
        # Some releases give scalars of numpy, others those of Python.
        return repr(value.item() if isinstance(value, np.generic) else value)
    return str(value)


def digest(value):
    """A short text that two values share if they are the same."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()[:16]


def elements(node, path=""):
    """Each element with its path."""
    kind = dict(node.attrs).get("encoding-type", "")
    if hasattr(node, "shape") or kind not in INNER:
        yield path, kind, node
        return
    for key in sorted(node):
        yield from elements(node[key], f"{path}/{key}")


def read(store):
    """The digests of a store."""
    from anndata._io.specs.registry import IORegistryError

    read_elem = ad.io.read_elem if hasattr(ad, "io") else ad.experimental.read_elem
    found = {}
    for path, kind, node in elements(zarr.open_group(store, mode="r")):
        try:
            found[path] = digest(read_elem(node))
        except IORegistryError:
            found[path] = f"unknown: {kind}"
    if not any(value.startswith("unknown") for value in found.values()):
        found["shape"] = list(ad.read_zarr(store).shape)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--zarrs":
        import zarrs  # noqa: F401 - it registers itself

        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    stores = [word for word in sys.argv[1:] if not word.startswith("-")]
    print(
        json.dumps(
            {"anndata": ad.__version__, "zarr": zarr.__version__, "stores": {s: read(s) for s in stores}}
        )
    )
