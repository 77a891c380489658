"""What stands where a file should be."""

from __future__ import annotations

import os
import socket

from damage import groups
from damage.registry import NotMadeError, kind


def instead(name, why, make, expect="error", node="X/data", at="X/data"):
    @kind(name, groups.FILES, expect, why, at=at if expect == "error" else None)
    def _(s):
        chunk = s.chunk(node)
        chunk.unlink()
        make(chunk)


def a_socket(path):
    # The address of a socket is short: it is made beside and moved.
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path.name)
    finally:
        os.chdir(here)


instead("chunk_is_a_pipe", "a pipe that nobody writes to: reading would wait for ever", os.mkfifo)
instead("chunk_is_a_socket", "nothing can be read from it", a_socket)
instead("chunk_links_to_itself", "a circle", lambda p: os.symlink(p.name, p))
instead(
    "chunk_links_to_nothing", "a link to what is gone is no absent chunk", lambda p: os.symlink("gone", p)
)
instead(
    "chunk_links_to_zeros", "a device without end, outside of the store", lambda p: os.symlink("/dev/zero", p)
)
instead("chunk_links_outside", "a file outside of the store", lambda p: os.symlink("/etc/hostname", p))
instead(
    "dense_chunk_is_a_pipe",
    "where an absent chunk would be zeros, a pipe is not one",
    os.mkfifo,
    node="layers/dense",
    at="layers/dense",
)
instead(
    "dense_chunk_links_to_nothing",
    "where an absent chunk would be zeros, a broken link is not one",
    lambda p: os.symlink("gone", p),
    node="layers/dense",
    at="layers/dense",
)


@kind("chunk_is_a_gibibyte", groups.HUGE, "error", "a sparse file behind a chunk of 64 bytes", at="X/data")
def _(s):
    os.truncate(s.chunk("X/data"), 1 << 30)


@kind("chunk_cannot_be_read", groups.FILES, "error", "no permission", at="X/data")
def _(s):
    if os.geteuid() == 0:
        raise NotMadeError("root may read everything")
    s.chunk("X/data").chmod(0)


@kind(
    "metadata_is_a_pipe",
    groups.FILES,
    "error",
    "metadata that never comes",
    at="layers/dense",
    consolidate=False,
)
def _(s):
    s.consolidate(remove=True)
    s.meta("layers/dense").unlink()
    os.mkfifo(s.meta("layers/dense"))


@kind("root_metadata_is_a_pipe", groups.FILES, "error", "a store that never comes", consolidate=False)
def _(s):
    s.consolidate(remove=True)
    place = s.meta("", "group")
    place.unlink()
    os.mkfifo(place)


@kind(
    "folder_links_to_its_parent", groups.FILES, "either", "a store in itself, without end", consolidate=False
)
def _(s):
    s.consolidate(remove=True)
    os.symlink("../..", s.path / "uns" / "d" / "again")


@kind("folders_link_to_each_other", groups.FILES, "either", "two folders in each other", consolidate=False)
def _(s):
    s.consolidate(remove=True)
    for a, b in (("one", "two"), ("two", "one")):
        os.symlink(b, s.path / "uns" / a)


@kind(
    "element_links_outside",
    groups.FILES,
    "error",
    "a folder outside of the store",
    "v2 v3",
    at="obsm/X_pca",
    consolidate=False,
)
def _(s):
    s.remove("obsm/X_pca")
    os.symlink("/usr", s.path / "obsm" / "X_pca")


@kind("name_not_utf8", groups.FILES, "either", "a name that is no text is no key", consolidate=False)
def _(s):
    s.consolidate(remove=True)
    folder = os.fsencode(s.path / "uns") + b"/\xff\xfe"
    os.mkdir(folder)
    meta = b".zgroup" if s.v2 else b"zarr.json"
    with open(folder + b"/" + meta, "wb") as f:
        f.write(b'{"zarr_format": 2}' if s.v2 else b'{"zarr_format": 3, "node_type": "group"}')


@kind(
    "stray_files", groups.ODD, "value", "what systems leave behind is no part of the store", consolidate=False
)
def _(s):
    s.consolidate(remove=True)
    for place in ("", "X", "uns", "obs", "layers"):
        for name in (".DS_Store", "._X", "Thumbs.db", "notes~"):
            (s.path / place / name).write_bytes(b"\x00\x01stray")


@kind("stray_folders", groups.ODD, "value", "folders that are no nodes", consolidate=False)
def _(s):
    s.consolidate(remove=True)
    for place in ("uns", "layers"):
        (s.path / place / ".ipynb_checkpoints").mkdir()
        (s.path / place / "empty").mkdir()
