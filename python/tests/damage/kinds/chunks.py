"""Chunks and codecs."""

from __future__ import annotations

import bz2
import gzip
import struct
import zlib

import numcodecs
from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec

from damage import groups
from damage.registry import kind

BOTH = "v2 v3"


def flip(at):
    def change(b):
        b[at % len(b)] ^= 0xFF
        return b

    return change


def word(at, value, size=4):
    """Overwrites a little-endian integer."""

    def change(b):
        b[at : at + size] = value.to_bytes(size, "little")
        return b

    return change


def raw(store, node):
    """The decoded bytes of the first chunk of a 1-d array (16 values)."""
    return store.get(node)[:16].tobytes()


@kind("chunk_of_another_array", groups.CUT, "error", "it decodes, to another length", at="X/data")
def _(s):
    s.chunk("X/data").write_bytes(
        s.chunk("obs/num").read_bytes() if s.fmt != "v3s" else s.chunk("obs/int").read_bytes()[:-9]
    )


@kind("chunk_one_byte_short", groups.CUT, "error", "the last byte is gone", at="layers/dense")
def _(s):
    s.mutate("layers/dense", lambda b: b[:-1])


@kind(
    "chunk_all_zero_bytes",
    groups.CUT,
    "error",
    "a disk that lost a block: no codec writes zeros alone",
    at="X/data",
)
def _(s):
    s.mutate("X/data", lambda b: bytes(len(b)))


@kind("last_chunk_cut", groups.CUT, "error", "only what touches the last rows fails", at="X/data")
def _(s):
    s.mutate("X/data", lambda b: b[: len(b) // 3], -1)


@kind(
    "uncompressed_chunk_short",
    groups.CUT,
    "error",
    "nothing encodes it: its length is its shape's",
    BOTH,
    at="obs/num",
)
def _(s):
    if s.v2:
        s.edit("obs/num", lambda m: m.update(compressor=None))
    else:
        s.edit("obs/num", lambda m: m["codecs"].pop())
    s.chunk("obs/num").write_bytes(bytes(120))


@kind(
    "two_chunks_swapped",
    groups.UNCHECKED,
    "either",
    "each is whole; nothing in Zarr says where a chunk belongs",
)
def _(s):
    a, b = s.chunk("layers/dense", 0), s.chunk("layers/dense", 1)
    one, two = a.read_bytes(), b.read_bytes()
    a.write_bytes(two)
    b.write_bytes(one)


# ── checksums


def checked(node, **compressor):
    def make(s):
        s.put(node, s.get(node), **compressor)
        s.mutate(node, flip(-1))

    return make


kind(
    "zstd_checksum_wrong", groups.CHECKED, "error", "zstd's own checksum of the content", "v3", at="obs/num"
)(checked("obs/num", compressor=ZstdCodec(level=3, checksum=True)))


@kind("crc32c_wrong", groups.CHECKED, "error", "the checksum's own bytes", "v3", at="obs/num")
def _(s):
    checked("obs/num", compressor=[ZstdCodec(level=3), Crc32cCodec()])(s)


@kind("crc32c_payload_flip", groups.CHECKED, "error", "a byte under a checksum", "v3", at="obs/num")
def _(s):
    s.put("obs/num", s.get("obs/num"), compressor=[ZstdCodec(level=3), Crc32cCodec()])
    s.mutate("obs/num", flip(20))


@kind("crc32c_only_3_bytes", groups.CUT, "error", "shorter than a checksum", "v3", at="obs/num")
def _(s):
    s.put("obs/num", s.get("obs/num"), compressor=[ZstdCodec(level=3), Crc32cCodec()])
    s.mutate("obs/num", lambda b: b[:3])


@kind("gzip_crc_wrong", groups.CHECKED, "error", "gzip's checksum", BOTH, at="obs/num")
def _(s):
    s.put("obs/num", s.get("obs/num"), compressor=numcodecs.GZip(1) if s.v2 else GzipCodec(level=1))
    s.mutate("obs/num", flip(-6))


@kind("zlib_adler_wrong", groups.CHECKED, "error", "zlib's checksum", "v2", at="obs/num")
def _(s):
    checked("obs/num", compressor=numcodecs.Zlib(1))(s)


@kind("bz2_crc_wrong", groups.CHECKED, "error", "bzip2's checksum of the block", "v2", at="obs/num")
def _(s):
    s.put("obs/num", s.get("obs/num"), compressor=numcodecs.BZ2(1))
    s.mutate("obs/num", flip(11))


# ── blosc: version, version of the inner codec, flags, typesize, nbytes, blocksize, cbytes


def blosc(name, why, change, expect="error"):
    @kind(name, groups.CODEC, expect, why, "v2", at="layers/dense" if expect == "error" else None)
    def _(s):
        s.mutate("layers/dense", change)


blosc("blosc_blocksize_0", "a division by zero waits here", word(8, 0))
blosc("blosc_blocksize_huge", "scratch of 2 GiB", word(8, 2**31 - 1))
blosc("blosc_blocksize_negative", "signed in the library", word(8, 2**32 - 16))
blosc("blosc_nbytes_small", "decodes to less than the chunk", word(4, 64))
blosc("blosc_nbytes_0", "decodes to nothing", word(4, 0))
blosc("blosc_nbytes_negative", "signed in the library", word(4, 2**32 - 1))
blosc("blosc_cbytes_huge", "longer than the value", word(12, 2**31 - 1))
blosc("blosc_typesize_0", "shuffled items of no bytes", word(3, 0, 1), "either")
blosc(
    "blosc_typesize_lies",
    "another typesize is another order of bytes; nothing tells",
    word(3, 3, 1),
    "either",
)
blosc("blosc_inner_codec_unknown", "there is no inner codec 7", lambda b: word(2, b[2] & 0x1F | 0xE0, 1)(b))
blosc("blosc_says_memcpy", "uncompressed, but shorter than its length", lambda b: word(2, b[2] | 2, 1)(b))
blosc("blosc_block_offsets_out", "the table of blocks leads out of the chunk", word(16, 2**31 - 5))
blosc("blosc_block_offsets_negative", "and before it", word(16, 2**32 - 40))
blosc("blosc_header_alone", "16 bytes, and nothing behind", lambda b: b[:16])


# ── zstd, by hand: magic, frame header, blocks

MAGIC = b"\x28\xb5\x2f\xfd"


def frame(content, *, descriptor=b"\x00\x58"):
    """A frame of one raw block that does not say its length."""
    return MAGIC + descriptor + (len(content) << 3 | 1).to_bytes(3, "little") + content


@kind("zstd_without_content_size", groups.ODD, "value", "a stream of unknown length is legal zstd", "v3")
def _(s):
    s.chunk("obs/num").write_bytes(frame(raw(s, "obs/num")))


@kind(
    "zstd_rle_bomb",
    groups.CODEC,
    "error",
    "16 KB that say no length and expand to 512 MiB",
    "v3",
    at="obs/num",
)
def _(s):
    block = (131072 << 3 | 2).to_bytes(3, "little") + b"\x07"
    last = (131072 << 3 | 3).to_bytes(3, "little") + b"\x07"
    s.chunk("obs/num").write_bytes(MAGIC + b"\x00\x58" + block * 4095 + last)


@kind(
    "zstd_window_huge", groups.CODEC, "error", "the window that it asks for has terabytes", "v3", at="obs/num"
)
def _(s):
    s.chunk("obs/num").write_bytes(frame(raw(s, "obs/num")[:-1], descriptor=b"\x00\xf8"))


@kind("zstd_needs_a_dictionary", groups.CODEC, "error", "no dictionary comes with Zarr", "v3", at="obs/num")
def _(s):
    s.chunk("obs/num").write_bytes(MAGIC + b"\x01\x58\x2a" + frame(raw(s, "obs/num"))[6:])


@kind(
    "zstd_two_frames",
    groups.ODD,
    "either",
    "two frames in a row are legal zstd; not every reader goes on",
    "v3",
)
def _(s):
    content = raw(s, "obs/num")
    s.chunk("obs/num").write_bytes(frame(content[:50]) + frame(content[50:]))


@kind(
    "zstd_skippable_alone", groups.CODEC, "error", "a frame to be skipped, and no other", "v3", at="obs/num"
)
def _(s):
    s.chunk("obs/num").write_bytes(b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip")


# ── gzip, zlib, bzip2, lz4


def packed(store, content):
    compressor = numcodecs.GZip(1) if store.v2 else GzipCodec(level=1)
    store.put("obs/num", store.get("obs/num"), compressor=compressor)
    data = raw(store, "obs/num")
    store.chunk("obs/num").write_bytes(content(data))


@kind("gzip_two_members", groups.ODD, "value", "gzip files may be joined", BOTH)
def _(s):
    packed(s, lambda d: gzip.compress(d[:60]) + gzip.compress(d[60:]))


@kind(
    "gzip_trailing_garbage", groups.UNCHECKED, "either", "gzip's own tools disagree about what follows", BOTH
)
def _(s):
    packed(s, lambda d: gzip.compress(d) + b"garbage")


@kind("gzip_cut", groups.CUT, "error", "its trailer is gone", BOTH, at="obs/num")
def _(s):
    packed(s, lambda d: gzip.compress(d)[:-8])


@kind("gzip_bomb", groups.CODEC, "error", "a quarter megabyte that expands to 256 MiB", BOTH, at="obs/num")
def _(s):
    packed(s, lambda _: gzip.compress(bytes(256 << 20), 6))


@kind("gzip_length_lies", groups.CODEC, "error", "the trailer says another length", BOTH, at="obs/num")
def _(s):
    packed(s, lambda d: gzip.compress(d)[:-4] + struct.pack("<I", 2**32 - 1))


@kind("gzip_name_without_end", groups.CODEC, "error", "the name in the header never ends", BOTH, at="obs/num")
def _(s):
    packed(s, lambda _: b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 500)


def v2_codec(name, group, why, compressor, encode):
    @kind(name, group, "error", why, "v2", at="obs/num")
    def _(s):
        s.put("obs/num", s.get("obs/num"), compressor=compressor)
        s.chunk("obs/num").write_bytes(encode(raw(s, "obs/num")))


v2_codec(
    "bz2_cut", groups.CUT, "the end of the stream is gone", numcodecs.BZ2(1), lambda d: bz2.compress(d)[:-10]
)
v2_codec(
    "bz2_bomb",
    groups.CODEC,
    "200 bytes that expand to 128 MiB",
    numcodecs.BZ2(9),
    lambda _: bz2.compress(bytes(128 << 20)),
)
v2_codec("zlib_cut", groups.CUT, "half of a stream", numcodecs.Zlib(1), lambda d: zlib.compress(d)[:30])
v2_codec(
    "zlib_dictionary",
    groups.CODEC,
    "asks for a dictionary",
    numcodecs.Zlib(1),
    lambda d: b"\x78\xbb\0\0\0\1" + zlib.compress(d)[2:],
)


def lz4(name, why, prefix):
    def encode(data):
        whole = numcodecs.LZ4().encode(data)
        return prefix(whole)

    v2_codec(name, groups.CODEC, why, numcodecs.LZ4(), encode)


lz4(
    "lz4_length_huge",
    "the length before the block says 2 GiB",
    lambda b: struct.pack("<I", 2**31 - 1) + b[4:],
)
lz4("lz4_length_negative", "signed in the library", lambda b: struct.pack("<I", 2**32 - 1) + b[4:])
lz4("lz4_length_small", "decodes to less than the chunk", lambda b: struct.pack("<I", 100) + b[4:])
lz4("lz4_prefix_alone", "three bytes", lambda b: b[:3])
lz4(
    "lz4_match_before_the_start",
    "copies from before the first byte",
    lambda _: struct.pack("<I", 128) + b"\x1fA\xff\xff\x64",
)


# ── absent chunks


@kind(
    "numbers_chunk_absent",
    groups.LEGAL,
    "value",
    "zeros are not written: an absent chunk is the fill value",
    truth="anndata",
)
def _(s):
    s.chunk("obs/num", 1).unlink()


@kind("codes_chunk_absent", groups.LEGAL, "value", "code 0 is the fill value", truth="anndata")
def _(s):
    s.chunk("obs/cat/codes").unlink()


@kind("mask_chunk_absent", groups.LEGAL, "value", "a mask of false is not written", truth="anndata")
def _(s):
    s.chunk("obs/ni/mask").unlink()


@kind("dense_all_chunks_absent", groups.LEGAL, "value", "an array of zeros has no chunks", truth="anndata")
def _(s):
    for chunk in s.chunks("obsm/X_pca"):
        chunk.unlink()


def absent(name, node, why, which=0, formats="v2 v3 v3s"):
    @kind(name, groups.ABSENT, "error", why, formats, at=node)
    def _(s):
        s.chunk(node, which).unlink()


absent("stored_values_absent", "X/data", "stored values are not zero: nobody leaves them out")
absent("csc_values_absent", "layers/csc/data", "the same by columns", -1)
absent("indices_absent", "X/indices", "several values of a row cannot all be in column 0")
absent("row_starts_absent_in_the_middle", "X/indptr", "row starts cannot fall to 0", 1, BOTH)
absent("names_absent", "obs/_index", "names are not empty text")
absent("genes_absent", "var/_index", "names are not empty text", -1)
absent("categories_absent", "obs/cat/categories", "categories are not empty text")
