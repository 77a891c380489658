"""Random AnnData stores: every encoding, in random chunks, shards and codecs, and random selections of them."""

from __future__ import annotations

import warnings

import anndata as ad
import awkward as ak
import numcodecs
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
import zarr.codecs as zc
from anndata._core.index import _subset

import lazarr as lz


@_subset.register(sp.csr_matrix)
@_subset.register(sp.csc_matrix)
def _rows_then_columns(a, index):
    """Rows and columns one after the other: scipy has no right answer for two lists where one is empty."""
    for axis, item in enumerate(index):
        if isinstance(item, np.ndarray) and item.dtype == bool:
            item = np.flatnonzero(item)
        a = a[item] if axis == 0 else a[:, item]
    return a


NUMBERS = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16"]
SPARSE = ["f4", "f8", "i1", "i4", "i8", "u1", "u2", "u8", "?", "c8"]
WORDS = ["T cell", "B", "é", "naïve ✓", "", "NK/κ", "x" * 40, "😀", "a\nb", "cell 7"]


def numbers(rng, shape, dtype=None):
    dtype = np.dtype(dtype or rng.choice(NUMBERS))
    n = int(np.prod(shape))
    if dtype.kind == "f":
        x = rng.choice([0.0, -0.0, 1.5, -2.25, np.nan, np.inf, 1e-3, 7], n)
    elif dtype.kind == "c":
        x = rng.integers(-3, 4, n) + 1j * rng.integers(-3, 4, n)
    elif dtype.kind == "b":
        x = rng.random(n) < 0.5
    else:
        info = np.iinfo(dtype)
        pool = np.array([info.min, info.max, 0, 0, 1, 2, 100], dtype=dtype)
        x = rng.choice(pool, n)
    return x.astype(dtype).reshape(shape)


def sparse(rng, n, m, dtype=None, form=None):
    """A matrix whose rows may be unsorted and hold a column twice."""
    form = form or rng.choice(["csr", "csc"])
    major, minor = (n, m) if form == "csr" else (m, n)
    density = rng.choice([0, 0.1, 0.5])
    counts = rng.binomial(minor, density, major) if minor else np.zeros(major, int)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    style = rng.choice(["sorted", "unsorted", "twice"])
    rows = [rng.choice(minor, c, replace=bool(style == "twice")) for c in counts]
    rows = [np.sort(r) for r in rows] if style == "sorted" else rows
    indices = np.concatenate(rows) if rows else np.empty(0)
    index = rng.choice(["i4", "i8"])
    data = numbers(rng, int(indptr[-1]), dtype or rng.choice(SPARSE))
    if len(data):
        data[0] = 1  # zarr leaves out chunks that are the fill value, and stored values must not be missing
    cls = sp.csr_matrix if form == "csr" else sp.csc_matrix
    x = cls((n, m), dtype=data.dtype)
    x.data, x.indices, x.indptr = data, indices.astype(index), indptr.astype(index)
    return x


def words(rng, n):
    return rng.choice(np.array(WORDS, dtype=object), n)


def categorical(rng, n):
    pool = [
        ["a", "b", "c", "unused"], WORDS, [3, 1, 2], [0.5, 2.5], [True, False], ["only"], list(map(str, range(200))), []
    ]  # fmt: skip
    cats = pool[rng.integers(len(pool))]
    codes = rng.integers(-1, max(len(cats) - 1, 0), n) if cats else np.full(n, -1)
    return pd.Categorical.from_codes(codes, cats, ordered=bool(rng.random() < 0.4))


def column(rng, n):
    kind = rng.choice(["cat", "cat", "num", "num", "text", "int", "bool", "string", "str"])
    missing = rng.random(n) < rng.choice([0, 0.3])
    if kind == "cat":
        return categorical(rng, n)
    if kind == "num":
        return numbers(rng, n, rng.choice(["f4", "f8", "i1", "i4", "i8", "u1", "u4", "u8", "?", "f2"]))
    if kind == "text":
        return words(rng, n)
    if kind == "int":
        dtype = rng.choice(["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"])
        x = pd.array(rng.integers(0, 100, n), dtype=dtype)
    elif kind == "bool":
        x = pd.array(rng.random(n) < 0.5, dtype="boolean")
    else:
        x = pd.array(words(rng, n), dtype=kind)
    x[missing] = None
    return x


def names(rng, n, prefix):
    if rng.random() < 0.15 and n:
        return np.array([f"{prefix}{i}" for i in rng.integers(0, n, n)], dtype=object)  # some stand twice
    out = [f"{prefix}{i}{'é✓'[i % 2] if i % 7 == 0 else ''}" for i in range(n)]
    return np.array(rng.permutation(out), dtype=object)


def table(rng, index, columns=None):
    n = len(index)
    k = rng.integers(0, 6) if columns is None else columns
    keys = ["alpha", "batch", "with space", "é", "n_counts", "cluster"][:k]
    return pd.DataFrame({key: pd.Series(column(rng, n), index=index) for key in keys}, index=index)


def aligned(rng, index, other=3):
    n = len(index)
    kind = rng.choice(["dense", "dense", "3d", "sparse", "table", "awkward"])
    if kind == "dense":
        return numbers(rng, (n, int(rng.integers(1, 5))))
    if kind == "3d":
        return numbers(rng, (n, 2, other), "f4")
    if kind == "sparse":
        return sparse(rng, n, other)
    if kind == "table":
        return table(rng, index, 3)
    return ak.Array([list(range(i % 3)) for i in range(n)]) if n else numbers(rng, (n, 2))


def unstructured(rng, deep=2):
    records = np.array([("a", 1.5, 3), ("zéz", -2, 4)], dtype=[("name", "O"), ("x", "f4"), ("k", "i8")])
    pool = [
        lambda: "text é", lambda: 3, lambda: 2.5, lambda: True, lambda: np.float32(0.1), lambda: np.int8(-3),
        lambda: None, lambda: numbers(rng, (3, 2)), lambda: np.array(["p", "qé"], dtype=object), lambda: records,
        lambda: categorical(rng, 4), lambda: pd.DataFrame({"p": [0.5, 1]}, index=["r1", "é"]), lambda: sparse(rng, 4, 5),
        lambda: pd.array([1, None, 3], dtype="Int32"), lambda: np.array(["a", "b"]).reshape(2, 1), dict,
        lambda: np.complex64(1 - 2j), lambda: np.empty((0, 3)), lambda: pd.array(["x", "é"], dtype="string"),
    ]  # fmt: skip
    out = {f"k{i}": pool[rng.integers(len(pool))]() for i in range(rng.integers(0, 6))}
    if deep:
        out["params"] = unstructured(rng, deep - 1)
    return out


def matrix(rng, n, m):
    return sparse(rng, n, m) if rng.random() < 0.6 else numbers(rng, (n, m))


def random_anndata(rng) -> ad.AnnData:
    n, m = (int(rng.choice([0, 1, 4, 13, 40])) for _ in range(2))
    obs_names = pd.Index(names(rng, n, "c"), name=rng.choice([None, "cell"]))
    var_names = pd.Index(names(rng, m, "g"))
    obs, var = table(rng, obs_names), table(rng, var_names)
    few = lambda: rng.integers(0, 3)  # noqa: E731
    uns = unstructured(rng)
    for key in list(obs.columns)[:2]:
        # Colours of a name that both tables have depend on how often a view was copied.
        if isinstance(obs[key].dtype, pd.CategoricalDtype) and key not in var:
            k = len(obs[key].cat.categories) - int(rng.random() < 0.2)
            uns[f"{key}_colors"] = np.array([f"#{i:06x}" for i in range(max(k, 0))], dtype=object)
    a = ad.AnnData(
        X=None if rng.random() < 0.1 else matrix(rng, n, m), obs=obs, var=var, uns=uns,
        layers={f"l{i}": matrix(rng, n, m) for i in range(few())},
        obsm={f"o{i}": aligned(rng, obs_names) for i in range(few())},
        varm={f"v{i}": aligned(rng, var_names) for i in range(few())},
        obsp={f"p{i}": matrix(rng, n, n) for i in range(few())},
        varp={f"q{i}": matrix(rng, m, m) for i in range(few())},
    )  # fmt: skip
    if rng.random() < 0.3:
        k = m + 2
        raw = ad.AnnData(
            X=matrix(rng, n, k), obs=pd.DataFrame(index=obs_names), var=table(rng, pd.Index(names(rng, k, "r"))),
            varm={"w": numbers(rng, (k, 2))},
        )  # fmt: skip
        a.raw = raw
    return a


def compressor(rng, fmt):
    if fmt == 2:
        return [
            None, numcodecs.Zstd(3), numcodecs.GZip(1), numcodecs.Zlib(1), numcodecs.LZ4(),
            numcodecs.Blosc("lz4", shuffle=1), numcodecs.Blosc("zstd", shuffle=2), numcodecs.Blosc("blosclz", shuffle=0),
            numcodecs.Blosc("zlib", shuffle=1), numcodecs.Blosc("lz4hc", shuffle=2), numcodecs.BZ2(1),
        ][rng.integers(11)]  # fmt: skip
    return [
        None, zc.ZstdCodec(level=1, checksum=True), zc.GzipCodec(level=1), zc.BloscCodec(cname="lz4", shuffle="shuffle"),
        zc.BloscCodec(cname="zstd", shuffle="bitshuffle"), zc.BloscCodec(cname="blosclz", shuffle="noshuffle"),
        [zc.ZstdCodec(level=3), zc.Crc32cCodec()], zc.BloscCodec(cname="lz4hc", shuffle="shuffle"),
    ][rng.integers(8)]  # fmt: skip


def relayout(rng, group, fmt) -> None:
    """Writes each array again, in random chunks, shards and codecs."""
    for name, node in list(group.members()):
        if isinstance(node, zarr.Group):
            relayout(rng, node, fmt)
            continue
        if node.ndim == 0 or rng.random() < 0.2:
            continue
        value, attrs, text = node[...], dict(node.attrs), node.dtype.kind in "OTU"
        chunks = tuple(int(rng.integers(1, max(2, n + 2))) for n in node.shape)
        kwargs = {"chunks": chunks, "compressors": compressor(rng, fmt)}
        if fmt == 3 and value.dtype.names is None and rng.random() < 0.5:
            kwargs["shards"] = tuple(c * int(rng.integers(1, 4)) for c in chunks)
        if fmt == 2:
            kwargs["order"] = rng.choice(["C", "F"])
            kwargs["chunk_key_encoding"] = {"name": "v2", "separator": str(rng.choice([".", "/"]))}
        if text and fmt == 2:
            kwargs["filters"] = [numcodecs.VLenUTF8()]
        dtype = node.metadata.dtype if fmt == 2 else node.metadata.data_type
        del group[name]
        fill = "" if text else None
        if not text and value.dtype.kind in "iuf" and value.dtype.names is None:
            fill = rng.choice([0, 1]).astype(value.dtype)
        # Where a chunk that is absent would be damage, all are written, the empty ones too.
        needed = text or name in {"data", "indices", "indptr", "codes"}
        kwargs["config"] = {"write_empty_chunks": needed or bool(rng.random() < 0.5)}
        new = group.create_array(
            name, shape=value.shape, dtype=dtype, fill_value=fill, attributes=attrs, **kwargs
        )
        if value.size:
            new[...] = value


def write(rng, adata: ad.AnnData, path: str) -> int:
    """Writes it in a random format and layout; gives the format."""
    fmt = int(rng.choice([2, 3]))
    # Text is written as plain strings, as older releases did, or as nullable ones; missing text must be the latter.
    frames = [
        adata.obs,
        adata.var,
        *(x for x in (*adata.obsm.values(), *adata.varm.values()) if hasattr(x, "columns")),
    ]
    frames += [adata.raw.var] if adata.raw is not None else []
    missing = any(f[k].isna().any() for f in frames for k in f if f[k].dtype in ("string", "str"))
    nullable = bool(missing or rng.random() < 0.5)
    settings = ad.settings.override(zarr_write_format=fmt, allow_write_nullable_strings=nullable)
    with warnings.catch_warnings(), settings, zarr.config.set({"array.write_empty_chunks": True}):
        warnings.simplefilter("ignore")
        adata.write_zarr(path, convert_strings_to_categoricals=bool(rng.random() < 0.5))
        if rng.random() < 0.85:
            group = zarr.open_group(path, mode="r+", use_consolidated=False)
            relayout(rng, group, fmt)
            import pathlib

            if rng.random() < 0.7:
                zarr.consolidate_metadata(path)
            elif fmt == 2:
                (pathlib.Path(path) / ".zmetadata").unlink(missing_ok=True)
            else:
                import json

                meta = pathlib.Path(path) / "zarr.json"
                doc = json.loads(meta.read_text())
                doc.pop("consolidated_metadata", None)
                meta.write_text(json.dumps(doc))
    return fmt


def read(path: str) -> ad.AnnData:
    # zarr's own pipeline: the other one that anndata takes where it is installed does not read every layout.
    pipeline = zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})
    with warnings.catch_warnings(), pipeline:
        warnings.simplefilter("ignore")
        return ad.read_zarr(path)


def selection(rng, labels, *, elements=False):
    """An index along an axis with these names: what lazarr takes, and what in-memory objects take for the same."""
    n = len(labels)
    kinds = ["all", "slice", "slice", "slice", "mask", "listmask", "range", "empty"]
    if n:
        kinds += ["int", "npint", "ints", "ints", "array", "floats", "negative"]
        if labels.is_unique and not elements:
            kinds += ["label", "labels", "nplabels", "index", "labelslice", "series"]
    kind = rng.choice(kinds)
    k = int(rng.integers(0, 2 * n + 1))
    if kind == "all":
        return slice(None)
    if kind == "slice":
        ends = [None if rng.random() < 0.3 else int(rng.integers(-n - 2, n + 3)) for _ in range(2)]
        return slice(*ends, rng.choice([None, 1, 2, 3, -1, -2]))
    if kind == "mask":
        return rng.random(n) < 0.5
    if kind == "listmask":
        return (rng.random(n) < 0.5).tolist() if n else slice(0, 0)
    if kind == "range":
        a, b = sorted(rng.integers(0, n + 1, 2).tolist())
        return range(a, b, int(rng.integers(1, 4)))
    if kind == "empty":
        return []
    if kind == "int":
        return int(rng.integers(-n, n))
    if kind == "npint":
        return np.int32(rng.integers(0, n))
    if kind in {"ints", "negative"}:
        return rng.integers(-n if kind == "negative" else 0, n, k).tolist()
    if kind == "array":
        return rng.integers(0, n, k).astype(rng.choice(["u1", "i2", "i8"]))
    if kind == "floats":
        return rng.integers(0, n, k + 1).astype("f8")
    picked = labels[rng.integers(0, n, k)]
    if kind == "label":
        return str(labels[rng.integers(n)])
    if kind == "labels":
        return picked.tolist()
    if kind == "nplabels":
        return np.array(picked.tolist(), dtype=str) if k else []
    if kind == "index":
        return picked
    if kind == "labelslice":
        a, b = sorted(rng.integers(0, n, 2).tolist())
        return slice(
            str(labels[a]) if rng.random() < 0.8 else None, str(labels[b]) if rng.random() < 0.8 else None
        )
    order = rng.permutation(n)
    return pd.Series(rng.random(n) < 0.5, index=labels[order])


def in_memory(item, labels):
    """The same index for anndata: a mask with labels is aligned, for anndata takes it by position."""
    if isinstance(item, pd.Series):
        return item.reindex(labels).to_numpy()
    if isinstance(item, slice) and not (isinstance(item.start, str) or isinstance(item.stop, str)):
        # Positions, for awkward does not take every slice.
        step = None if item.step is None else int(item.step)
        return np.arange(len(labels))[slice(item.start, item.stop, step)]
    return item


def as_it_is(preset: str, zarr_format: int = 3) -> lz.Layout:
    """A preset that leaves matrices in the format that they have."""
    layout = lz.Layout.preset(preset, zarr_format=zarr_format)
    return lz.Layout(
        [{k: v for k, v in rule.items() if k != "format"} for rule in layout.rules], zarr_format=zarr_format
    )
