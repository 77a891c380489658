"""Shards and their index: pairs of offset and length, and a checksum, at the end."""

from __future__ import annotations

import google_crc32c
import numpy as np

from damage import groups
from damage.registry import kind

NODE = "layers/dense"
EMPTY = 2**64 - 1


def index(change, node=NODE, *, seal=True):
    """Changes the index of the first shard; `seal` makes its checksum right again."""

    def make(s):
        def mutate(b):
            length = 16 * (4 if len(s.doc(node)["shape"]) == 2 else 2)
            body, entries = (
                b[: -length - 4],
                np.frombuffer(bytes(b[-length - 4 : -4]), "<u8").reshape(-1, 2).copy(),
            )
            body, entries = change(bytes(body), entries)
            raw = np.asarray(entries).astype("<u8").tobytes()
            crc = google_crc32c.value(raw).to_bytes(4, "little") if seal else bytes(b[-4:])
            return body + raw + crc

        s.mutate(node, mutate)

    return make


def entry(k, offset=None, length=None):
    def change(body, e):
        if offset is not None:
            e[k, 0] = offset
        if length is not None:
            e[k, 1] = length
        return body, e

    return change


def shard(name, why, change, expect="error", group=groups.SHARD, **more):
    at = NODE if expect == "error" else None
    kind(name, group, expect, why, "v3s", at=at, **more)(change)


shard("shard_entry_of_no_bytes", "a chunk of no bytes decodes to nothing", index(entry(1, length=0)))
shard(
    "shard_entry_one_byte_short",
    "its checksum is cut",
    index(lambda b, e: (b, e - np.array([[0, 1], [0, 0], [0, 0], [0, 0]], "u8"))),
)
shard("shard_entry_length_only", "no offset, but a length", index(entry(2, offset=EMPTY, length=40)))
shard("shard_entry_offset_only", "an offset, but no length", index(entry(2, length=EMPTY)))
shard(
    "shard_entry_is_whole_file", "one chunk spans all of them", index(lambda b, e: entry(0, 0, len(b))(b, e))
)
shard(
    "shard_entry_ends_in_index",
    "the last chunk reaches into the index",
    index(lambda b, e: entry(3, length=int(e[3, 1]) + 30)(b, e)),
)
shard("shard_index_not_sealed", "an entry changed, its checksum not", index(entry(0, 7), seal=False))
shard(
    "shard_entries_swapped",
    "each chunk is whole; nothing says where it belongs",
    index(lambda b, e: (b, e[::-1])),
    "either",
    groups.UNCHECKED,
)
shard(
    "shard_gap_before_index",
    "chunks may lie anywhere, gaps are legal",
    index(lambda b, e: (b + bytes(100), e)),
    "value",
    groups.ODD,
)
shard(
    "shard_one_entry_empty",
    "an inner chunk that is absent is the fill value",
    index(entry(1, EMPTY, EMPTY)),
    "value",
    groups.LEGAL,
    truth="anndata",
)
shard(
    "shard_trailing_garbage",
    "the index is not where it should be",
    lambda s: s.mutate(NODE, lambda b: b + b"garbage"),
)
shard("shard_empty_file", "no index", lambda s: s.mutate(NODE, lambda _: b""))
shard("shard_index_alone", "an index, and nothing before it", lambda s: s.mutate(NODE, lambda b: b[-68:]))
shard(
    "shard_of_another_array",
    "a shard of other chunks",
    lambda s: s.chunk(NODE).write_bytes(s.chunk("varp/corr").read_bytes()),
)


def config(change):
    return lambda s: s.edit(NODE, lambda m: change(m["codecs"][0]["configuration"]))


shard(
    "shard_index_codecs_without_checksum",
    "the index is four bytes away from where it was",
    config(lambda c: c["index_codecs"].pop()),
)
shard(
    "shard_index_compressed",
    "an index of unknown length cannot be found",
    config(
        lambda c: c["index_codecs"].append({"name": "zstd", "configuration": {"level": 1, "checksum": False}})
    ),
)
shard("shard_index_codecs_empty", "an index in no byte order", config(lambda c: c.update(index_codecs=[])))
shard(
    "shard_index_location_unknown",
    "neither start nor end",
    config(lambda c: c.update(index_location="middle")),
)
shard("shard_inner_chunks_of_0", "no bytes in a chunk", config(lambda c: c.update(chunk_shape=[0, 8])))
shard(
    "shard_inner_larger_than_shard",
    "an inner chunk that does not fit",
    config(lambda c: c.update(chunk_shape=[32, 32])),
)
shard("shard_inner_rank", "inner chunks of one axis", config(lambda c: c.update(chunk_shape=[8])))
shard(
    "shard_inner_chunks_of_1",
    "64 times as many entries as there are",
    config(lambda c: c.update(chunk_shape=[1, 1])),
)
shard("shard_inner_negative", "a negative length", config(lambda c: c.update(chunk_shape=[-8, 8])))


@kind(
    "shard_index_huge",
    groups.HUGE,
    "error",
    "a shard of 2^40 inner chunks: an index of terabytes",
    "v3s",
    at=NODE,
)
def _(s):
    def change(m):
        m["chunk_grid"]["configuration"]["chunk_shape"] = [2**20, 2**20]
        m["codecs"][0]["configuration"]["chunk_shape"] = [1, 1]

    s.edit(NODE, change)


@kind(
    "shard_in_shard_in_shard",
    groups.SHARD,
    "error",
    "metadata nests shards, the chunks do not",
    "v3s",
    at=NODE,
)
def _(s):
    def change(m):
        codecs = m["codecs"][0]["configuration"]["codecs"]
        for shape in ([4, 4], [2, 2]):
            inner = {
                "chunk_shape": shape,
                "codecs": codecs,
                "index_codecs": m["codecs"][0]["configuration"]["index_codecs"],
                "index_location": "end",
            }
            codecs = [{"name": "sharding_indexed", "configuration": inner}]
        m["codecs"][0]["configuration"]["codecs"] = codecs

    s.edit(NODE, change)


@kind("shard_nested_100", groups.FIELDS, "error", "a hundred shards in each other", "v3s", at=NODE)
def _(s):
    def change(m):
        for _ in range(100):
            inner = {**m["codecs"][0]["configuration"], "chunk_shape": [8, 8], "codecs": m["codecs"]}
            m["codecs"] = [{"name": "sharding_indexed", "configuration": inner}]

    s.edit(NODE, change)
