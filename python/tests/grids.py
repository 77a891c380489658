"""Stores with rectilinear chunk grids, written by zarr-python with its switch on."""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from pathlib import Path

import anndata as ad
import numpy as np
import zarr
import zarr.codecs as zc

RECTILINEAR = {"array.rectilinear_chunks": True}


def pack(folder: Path, archive: Path) -> None:
    """Every file of a folder in a zip archive, as it is: nothing is compressed again."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as z:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                z.write(file, file.relative_to(folder).as_posix())


def one_row_chunks(adata: ad.AnnData, path, elements=("X",), compressors="auto") -> None:
    """Writes it so that each chunk of a csr matrix is one row: a directory, or an archive where the name ends with .zip.

    Rows without values have no chunk. `elements` are paths of csr matrices; `compressors` as zarr takes them.
    """
    path = Path(path)
    if path.suffix == ".zip":
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            one_row_chunks(adata, Path(scratch) / "s.zarr", elements, compressors)
            return pack(Path(scratch) / "s.zarr", path)
    with warnings.catch_warnings(), ad.settings.override(zarr_write_format=3), zarr.config.set(RECTILINEAR):
        warnings.simplefilter("ignore")
        adata.write_zarr(str(path))
        root = zarr.open_group(path, mode="r+", use_consolidated=False)
        for element in elements:
            group = root[element]
            lengths = np.diff(group["indptr"][:])
            edges = lengths[lengths > 0].tolist()
            for name in ("data", "indices") if edges else ():
                value, attrs, kind = group[name][:], dict(group[name].attrs), group[name].metadata.data_type
                del group[name]
                new = group.create_array(
                    name, shape=value.shape, dtype=kind, chunks=[edges], compressors=compressors, fill_value=0,
                    attributes=attrs, config={"write_empty_chunks": True},
                )  # fmt: skip
                new[:] = value
        zarr.consolidate_metadata(path)
    return None


def random_edges(rng, length: int) -> list[int]:
    """Lengths that add up to this one, some of them often."""
    edges: list[int] = []
    while (left := length - sum(edges)) > 0:
        edge = int(rng.integers(1, min(left, rng.choice([2, 4, 30])) + 1))
        edges += [edge] * min(int(rng.integers(1, rng.choice([2, 6]))), max(left // edge, 1))
    return edges


def random_grid(rng, shape) -> list[int | list[int]]:
    """Of each axis the edges, or one length of all chunks; of one axis at least the edges."""
    grid = [random_edges(rng, n) if rng.random() < 0.7 else int(rng.integers(1, n + 3)) for n in shape]
    axis = rng.integers(len(shape))
    grid[axis] = random_edges(rng, shape[axis])
    return grid


def random_codecs(rng):
    return [
        None, zc.ZstdCodec(level=1, checksum=True), zc.GzipCodec(level=1), zc.ZstdCodec(level=3),
        zc.BloscCodec(cname="lz4", shuffle="shuffle"), zc.BloscCodec(cname="zstd", shuffle="bitshuffle"),
        [zc.ZstdCodec(level=1), zc.Crc32cCodec()],
    ][rng.integers(7)]  # fmt: skip
