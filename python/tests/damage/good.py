"""Whole stores, and the tools with which copies of them are damaged."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

N_OBS, N_VARS, N_RAW = 40, 30, 35
FORMATS = {"v2": 2, "v3": 3, "v3s": 3, "zip": 3}
"""Blosc and consolidated; zstd and consolidated; shards with checksums, walked; an archive of `v3`."""


def good_anndata():
    """One element of every kind that has something to break."""
    import anndata as ad
    import awkward as ak
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(11)

    def matrix(n, m, form="csr"):
        x = sp.random(n, m, 0.4, form, "f4", random_state=5)
        x.data = np.round(x.data * 9 + 1)
        return x

    n = N_OBS
    obs = pd.DataFrame(
        {
            "cat": pd.Categorical.from_codes([-1, *(i % 3 for i in range(1, n))], ["T cell", "B cell", "NK"]),
            "ord": pd.Categorical.from_codes([i % 2 for i in range(n)], ["low", "high"], ordered=True),
            "num": np.arange(n) / 7,
            "int": np.arange(1, n + 1, dtype="i4"),
            "flag": np.arange(n) % 3 == 0,
            "txt": np.array([f"é{i}" for i in range(n)], dtype=object),
            "ni": pd.array([None if i % 5 == 0 else i for i in range(n)], dtype="Int64"),
            "nb": pd.array([None if i % 7 == 0 else i % 2 == 0 for i in range(n)], dtype="boolean"),
            "ns": pd.array([None if i % 6 == 0 else f"s{i}" for i in range(n)], dtype="string"),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    var = pd.DataFrame({"mean": np.arange(N_VARS, dtype="f4")}, index=[f"g{i}" for i in range(N_VARS)])
    x = matrix(n, N_VARS)
    a = ad.AnnData(
        X=x,
        obs=obs,
        var=var,
        layers={"csc": x.tocsc(), "dense": np.asarray(x.todense()) + 1},
        obsm={
            "X_pca": rng.normal(size=(n, 5)),
            "awk": ak.Array([list(range(i % 4)) for i in range(n)]),
            "tab": pd.DataFrame({"q": np.arange(n) * 0.5}, index=obs.index),
        },
        varm={"PCs": rng.normal(size=(N_VARS, 3))},
        obsp={"near": matrix(n, n)},
        varp={"corr": rng.normal(size=(N_VARS, N_VARS))},
        uns={
            "d": {"k": "v", "arr": np.arange(1, 11), "deep": {"x": 1.5}},
            "s": "text",
            "words": np.array(["p", "qé"], dtype=object),
            "rec": np.array([("a", 1.5), ("zé", -2)], dtype=[("name", "U4"), ("x", "f4")]),
            "scalar": 3,
        },
    )
    raw_var = pd.DataFrame({"mean": np.arange(N_RAW, dtype="f4")}, index=[f"r{i}" for i in range(N_RAW)])
    a.raw = ad.AnnData(X=matrix(n, N_RAW), obs=obs[[]], var=raw_var)
    return a


def make_good(out: Path) -> None:
    """Writes `out`/v2.zarr, v3.zarr, v3s.zarr."""
    import anndata as ad

    a = good_anndata()
    for name in ("v2", "v3", "v3s"):
        path = out / f"{name}.zarr"
        settings = ad.settings.override(
            zarr_write_format=FORMATS[name], allow_write_nullable_strings=True, auto_shard_zarr_v3=False
        )
        with warnings.catch_warnings(), settings, zarr.config.set({"array.write_empty_chunks": True}):
            warnings.simplefilter("ignore")
            a.write_zarr(path, convert_strings_to_categoricals=False)
        store = Damaged(path, name)
        plain_strings(store)
        for node in sorted(store.arrays()):
            values = store.get(node)
            if values.ndim and values.dtype.names is None:
                store.put(node, values)
        store.consolidate(remove=name == "v3s")


def plain_strings(store: Damaged) -> None:
    """Text without missing values, as plain arrays of strings: newer releases write a mask with all of it."""
    group = store.group()
    names = [
        n
        for n, node in group.members(max_depth=None)
        if node.attrs.get("encoding-type") == "nullable-string-array"
    ]
    for name in names:
        if name == "obs/ns":
            continue
        values = np.asarray(group[name]["values"][...])
        del group[name]
        store.put(name, values.astype(object))
        group[name].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


class Damaged:
    """A store that is being damaged. Metadata is edited as text, so that anything can be written."""

    def __init__(self, path: Path, fmt: str) -> None:
        self.path, self.fmt = path, fmt
        self.v2 = FORMATS[fmt] == 2

    def group(self):
        return zarr.open_group(self.path, mode="a", use_consolidated=False)

    def get(self, node: str):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.group()[node][...])

    def arrays(self) -> list[str]:
        if self.v2:
            return [p.parent.relative_to(self.path).as_posix() for p in self.path.rglob(".zarray")]
        metas = [p for p in self.path.rglob("zarr.json") if json.loads(p.read_text())["node_type"] == "array"]
        return [p.parent.relative_to(self.path).as_posix() for p in metas]

    def put(self, node: str, values, *, compressor=None, fill=None, chunks=None, **more) -> None:
        """Writes an array again, of any shape and dtype, with the attributes that it had."""
        values = np.asarray(values)
        text = values.dtype.kind in "OTU"
        group = self.group()
        attrs = dict(group[node].attrs) if node in group else {}
        chunks = chunks or tuple(max(1, min(size, 16)) for size in values.shape)
        kwargs = {"chunks": chunks}
        if self.v2:
            kwargs["compressors"] = compressor or numcodecs.Blosc("lz4", 5, 1)
            if text:
                kwargs["filters"] = [numcodecs.VLenUTF8()]
        elif self.fmt == "v3s":
            kwargs["chunks"] = tuple(-(-c // 2) for c in chunks)
            kwargs["shards"] = tuple(2 * c for c in kwargs["chunks"])
            kwargs["compressors"] = compressor or [ZstdCodec(level=3), Crc32cCodec()]
        else:
            kwargs["compressors"] = compressor or ZstdCodec(level=3)
        fill = fill if fill is not None else "" if text else 0
        with warnings.catch_warnings(), zarr.config.set({"array.write_empty_chunks": True}):
            warnings.simplefilter("ignore")
            array = group.create_array(
                node, shape=values.shape, dtype="string" if text and not self.v2 else str if text else values.dtype,
                fill_value=fill, overwrite=True, attributes=attrs, **kwargs, **more,
            )  # fmt: skip
            if values.size:
                array[...] = values

    # ── metadata

    def meta(self, node: str, kind: str = "array") -> Path:
        names = {"array": ".zarray", "attrs": ".zattrs", "group": ".zgroup"}
        return self.path / node / (names[kind] if self.v2 else "zarr.json")

    def doc(self, node: str, kind: str = "array") -> dict:
        return json.loads(self.meta(node, kind).read_text())

    def edit(self, node: str, change, kind: str = "array") -> None:
        """Changes the metadata of a node, or with kind `attrs` its attributes."""
        doc = self.doc(node, kind)
        change(doc["attributes"] if kind == "attrs" and not self.v2 else doc)
        self.meta(node, kind).write_text(json.dumps(doc))

    def attrs(self, node: str, **fields) -> None:
        self.edit(node, lambda a: a.update(fields), "attrs")

    def codecs(self, node: str) -> list:
        """Of v3: the codecs of the (inner) chunks, to be changed in an `edit`."""
        return inner_codecs(self.doc(node))

    def consolidate(self, remove: bool = False) -> None:
        """What the files say, once more in one place; or in no place but the files."""
        docs = {}
        for meta in sorted(self.path.rglob(".z*" if self.v2 else "zarr.json")):
            if meta.name == ".zmetadata":
                continue
            key = meta.relative_to(self.path).as_posix()
            try:
                docs[key] = json.loads(meta.read_bytes())
            except ValueError:
                docs[key] = None
        if self.v2:
            place = self.path / ".zmetadata"
            place.unlink(missing_ok=True)
            if not remove:
                place.write_text(json.dumps({"metadata": docs, "zarr_consolidated_format": 1}))
            return
        for key, doc in docs.items():
            if isinstance(doc, dict) and doc.pop("consolidated_metadata", None) is not None:
                (self.path / key).write_text(json.dumps(doc))
        if not remove:
            root = docs.pop("zarr.json")
            inner = {key.removesuffix("/zarr.json"): doc for key, doc in docs.items()}
            root["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": inner}
            (self.path / "zarr.json").write_text(json.dumps(root))

    @property
    def consolidated(self) -> bool:
        root = self.path / "zarr.json"
        return (self.path / ".zmetadata").exists() or (
            root.is_file() and b'"consolidated_metadata"' in root.read_bytes()
        )

    # ── chunks

    def chunks(self, node: str) -> list[Path]:
        folder = self.path / node
        names = [Path(d) / f for d, _, files in os.walk(folder) for f in files]
        names = [p for p in names if not p.name.startswith(".z") and p.name != "zarr.json"]
        return sorted(names)

    def chunk(self, node: str, which: int = 0) -> Path:
        return self.chunks(node)[which]

    def mutate(self, node: str, change, which: int = 0) -> None:
        chunk = self.chunk(node, which)
        chunk.write_bytes(bytes(change(bytearray(chunk.read_bytes()))))

    def remove(self, node: str) -> None:
        shutil.rmtree(self.path / node)


def inner_codecs(doc: dict) -> list:
    codecs = doc["codecs"]
    sharded = codecs[0]["name"] == "sharding_indexed"
    return codecs[0]["configuration"]["codecs"] if sharded else codecs
