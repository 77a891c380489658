"""Zip archives: the directory at the end, and what stands before each entry."""

from __future__ import annotations

import struct
import zipfile

from damage import groups
from damage.registry import kind, pack

CHUNK = "X/data/c/0"
ENTRY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def archive(name, why, change, expect="error", at=None, method=zipfile.ZIP_STORED, group=groups.ZIP, **more):
    """Changes the bytes of an archive."""

    @kind(name, group, expect, why, "zip", at=at, **more)
    def _(s, place):
        pack(s.path, place, method)
        place.write_bytes(bytes(change(bytearray(place.read_bytes()))))


def find(b, name, mark):
    """Where the header of an entry begins, in the directory or before its data."""
    length_at, header = (28, 46) if mark == ENTRY else (26, 30)
    at = -1
    while (at := b.find(mark, at + 1)) >= 0:
        (length,) = struct.unpack_from("<H", b, at + length_at)
        if b[at + header : at + header + length] == name.encode():
            return at
    raise LookupError(name)


def patch(mark, offset, form, value, name=CHUNK):
    def change(b):
        struct.pack_into(form, b, find(b, name, mark) + offset, value)
        return b

    return change


def end(offset, form, value):
    def change(b):
        struct.pack_into(form, b, b.rfind(END) + offset, value)
        return b

    return change


def both(*changes):
    def change(b):
        for c in changes:
            b = c(b)
        return b

    return change


X = "X/data"
archive("zip_cut", "its directory is gone", lambda b: b[: len(b) // 2])
archive("zip_end_cut", "the last bytes are gone", lambda b: b[:-10])
archive("zip_empty", "no bytes", lambda _: b"")
archive("zip_no_entries", "a directory of nothing", lambda _: END + bytes(18))
archive("zip_not_a_zip", "other bytes of its length", lambda b: bytes(len(b)))
archive(
    "zip_crc_wrong",
    "the checksum of an entry, in both places",
    both(patch(ENTRY, 16, "<I", 1), patch(LOCAL, 14, "<I", 1)),
    "either",
)
archive(
    "zip_local_name_differs",
    "the directory leads to another entry",
    lambda b: (b.__setitem__(slice(find(b, CHUNK, LOCAL) + 30, find(b, CHUNK, LOCAL) + 31), b"Y"), b)[1],
    at=X,
)
archive("zip_local_header_gone", "no header where the directory says", patch(LOCAL, 0, "<I", 0), at=X)
archive("zip_offset_beyond", "an entry behind the end", patch(ENTRY, 42, "<I", 2**31), at=None)
archive(
    "zip_offset_of_another",
    "two entries in one place",
    lambda b: patch(ENTRY, 42, "<I", find(b, "X/indices/c/0", LOCAL))(b),
    at=None,
)
archive(
    "zip_length_huge",
    "an entry longer than the archive",
    both(patch(ENTRY, 20, "<I", 2**31), patch(ENTRY, 24, "<I", 2**31)),
    at=None,
)
archive("zip_length_differs", "stored, but its two lengths differ", patch(ENTRY, 24, "<I", 10**6), at=None)
archive("zip_encrypted", "a secret entry", both(patch(ENTRY, 8, "<H", 1), patch(LOCAL, 6, "<H", 1)), at=None)
archive(
    "zip_method_unknown",
    "packed in an unknown way",
    both(patch(ENTRY, 10, "<H", 99), patch(LOCAL, 8, "<H", 99)),
    at=None,
)
archive("zip_directory_offset_wrong", "the directory is not where it should be", end(16, "<I", 12345))
archive("zip_directory_length_huge", "a directory of 4 GB", end(12, "<I", 2**32 - 2))
archive("zip_count_more", "more entries than there are", both(end(8, "<H", 60000), end(10, "<H", 60000)))
archive("zip_count_less", "fewer entries than there are", both(end(8, "<H", 3), end(10, "<H", 3)))
archive("zip_second_disk", "a part of an archive", end(4, "<H", 1))
archive(
    "zip64_lies",
    "64-bit numbers are announced, and are not there",
    both(end(16, "<I", 2**32 - 1), end(8, "<H", 2**16 - 1), end(10, "<H", 2**16 - 1)),
)
archive("zip_comment_cut", "a comment longer than the rest", end(20, "<H", 500), "either")
archive(
    "zip_prefix",
    "something before the archive, as in programs that unpack themselves",
    lambda b: b"#!/bin/sh\n" + b,
    "either",
)
archive("zip_trailing_garbage", "something behind the archive", lambda b: b + b"garbage", "either")
archive(
    "zip_deflated",
    "packed entries are legal: they are read whole",
    lambda b: b,
    "value",
    method=zipfile.ZIP_DEFLATED,
    group=groups.ODD,
)
archive(
    "zip_deflated_cut",
    "a packed entry that ends early",
    lambda b: patch(
        ENTRY, 20, "<I", struct.unpack_from("<I", b, find(b, "zarr.json", ENTRY) + 20)[0] - 40, "zarr.json"
    )(b),
    method=zipfile.ZIP_DEFLATED,
)


def written(name, why, write, expect="error", group=groups.ZIP, at=None, **more):
    @kind(name, group, expect, why, "zip", at=at, **more)
    def _(s, place):
        pack(s.path, place)
        with zipfile.ZipFile(place, "a", zipfile.ZIP_DEFLATED) as z:
            write(z)


written(
    "zip_name_escapes", "an entry outside of the archive", lambda z: z.writestr("../../evil", b"x"), "either"
)
written(
    "zip_name_absolute",
    "an entry at the root of the system",
    lambda z: z.writestr("/etc/evil", b"x"),
    "either",
)
written(
    "zip_name_backslash", "a separator of another system", lambda z: z.writestr("uns\\evil", b"x"), "either"
)
written(
    "zip_chunk_twice",
    "two entries of one name: the last counts, as in every unpacker",
    lambda z: z.writestr(CHUNK, b"\0" * 20),
    at=X,
)
written("zip_metadata_twice", "two metadata of one name", lambda z: z.writestr("X/zarr.json", b"{"), "either")
written(
    "zip_bomb_metadata",
    "600 KB that expand to 600 MB",
    lambda z: z.writestr("zarr.json", b" " * (600 << 20)),
    group=groups.HUGE,
)
written(
    "zip_bomb_chunk",
    "a chunk of 64 bytes that expands to 600 MB",
    lambda z: z.writestr(CHUNK, bytes(600 << 20)),
    group=groups.HUGE,
    at=X,
)
written(
    "zip_100000_entries",
    "more entries than anything needs",
    lambda z: [z.writestr(f"uns/junk/{i}", b"") for i in range(100_000)],
    "either",
)
