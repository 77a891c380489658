"""Metadata: its JSON, its fields, and what is consolidated of it."""

from __future__ import annotations

import json
import os

from damage import groups
from damage.good import inner_codecs
from damage.registry import kind

NODE = "layers/dense"


def text(name, why, change, expect="error", node=NODE, group=groups.JSON, at=NODE):
    """Rewrites the bytes of an array's metadata; nothing is consolidated, so that they are read."""

    @kind(name, group, expect, why, at=at if expect == "error" else None, consolidate=False)
    def _(s):
        s.consolidate(remove=True)
        place = s.meta(node)
        place.write_bytes(change(place.read_bytes()))


text("json_utf16", "metadata is UTF-8", lambda b: b.decode().encode("utf-16"))
text("json_bom", "a mark before the text: some readers skip it", lambda b: b"\xef\xbb\xbf" + b, "either")
text("json_trailing_comma", "no JSON", lambda b: b.replace(b"{", b"{,", 1))
text("json_trailing_text", "more behind the end", lambda b: b + b"}")
text(
    "json_key_twice",
    "the last one counts in most readers",
    lambda b: b.replace(b"{", b'{"shape": [1],', 1),
    "either",
)
text("json_comment", "no JSON", lambda b: b"// zarr\n" + b)
text("json_text", "a text instead of an object", lambda _: b'"array"')
text("json_null", "nothing instead of an object", lambda _: b"null")
text(
    "json_number_huge",
    "10 to the power of 400 is no length",
    lambda b: b.replace(b"[40, 30]", b"[1e400, 30]").replace(b"[\n    40,", b"[1e400,"),
)
text("json_escape_half", "half of a surrogate pair", lambda b: b.replace(b"{", b'{"x": "\\ud800",', 1))
text("json_raw_control", "a raw control character in a text", lambda b: b.replace(b"{", b'{"x\x01": 1,', 1))


@kind(
    "metadata_1_gib",
    groups.HUGE,
    "error",
    "a sparse file: its length is a gigabyte",
    at=NODE,
    consolidate=False,
)
def _(s):
    s.consolidate(remove=True)
    os.truncate(s.meta(NODE), 1 << 30)


@kind(
    "metadata_is_a_directory",
    groups.FILES,
    "either",
    "where nothing is consolidated, a folder without metadata is no node",
    consolidate=False,
)
def _(s):
    s.consolidate(remove=True)
    s.meta(NODE).unlink()
    s.meta(NODE).mkdir()


# ── fields


def field(name, why, change, expect="error", formats="v2 v3 v3s", group=groups.FIELDS, node=NODE, **more):
    kind(name, group, expect, why, formats, at=node if expect == "error" else None, **more)(
        lambda s: s.edit(node, change)
    )


def chunks(value):
    def change(m):
        if "chunks" in m:
            m["chunks"] = value
        else:
            m["chunk_grid"]["configuration"]["chunk_shape"] = value

    return change


field("shape_missing", "an array has a shape", lambda m: m.pop("shape"))
field("shape_text", "a shape is a list", lambda m: m.update(shape="40x30"))
field("shape_number", "a shape is a list", lambda m: m.update(shape=40))
field("shape_of_text", "lengths are numbers", lambda m: m.update(shape=["40", "30"]))
field("shape_bool", "true is no length", lambda m: m.update(shape=[True, 30]))
field("shape_empty", "no axes, but chunks of two", lambda m: m.update(shape=[]))
field(
    "shape_2_63",
    "an axis longer than memory can count",
    lambda m: m.update(shape=[2**63, 30]),
    group=groups.HUGE,
)
field("shape_2_64", "more than 64 bits hold", lambda m: m.update(shape=[2**64, 30]), group=groups.HUGE)
field("shape_product_overflows", "2^64 values", lambda m: m.update(shape=[2**32, 2**32]), group=groups.HUGE)
field(
    "shape_of_1000_axes",
    "a thousand axes",
    lambda m: (m.update(shape=[1] * 1000), chunks([1] * 1000)(m)),
    group=groups.HUGE,
)
field("chunks_product_overflows", "chunks of 2^64 values", chunks([2**32, 2**32]), group=groups.HUGE)
field("chunks_2_31", "chunks of 2^31 rows", chunks([2**31, 30]), group=groups.HUGE)
field("chunks_text", "chunks are a list", chunks("16x16"))
field("chunks_float", "lengths are integers", chunks([16.5, 16]))
field("chunks_null", "chunks are a list", chunks(None))
field("chunks_2_64", "more than 64 bits hold", chunks([2**64, 16]))
field(
    "fill_out_of_range",
    "300 does not fit into a byte",
    lambda m: m.update(fill_value=300),
    node="obs/cat/codes",
)
field("fill_text", "text is no number", lambda m: m.update(fill_value="none"))
field("fill_nan_of_integers", "NaN is no integer", lambda m: m.update(fill_value="NaN"), node="obs/int")
field("fill_float_of_integers", "half is no integer", lambda m: m.update(fill_value=0.5), node="obs/int")
field("fill_list", "a list is no number", lambda m: m.update(fill_value=[0]))
field("format_text", "the version is a number", lambda m: m.update(zarr_format="3"))
field("format_missing", "no version", lambda m: m.pop("zarr_format"))

V2, V3 = "v2", "v3 v3s"


def dtype(name, why, value, expect="error", node=NODE):
    field(f"dtype_{name}", why, lambda m: m.update(dtype=value), expect, V2, node=node)


dtype("f3", "there is no float of 3 bytes", "<f3")
dtype("no_byte_order", "numpy takes it, Zarr asks for the order", "f4", "either")
dtype("other_byte_order", "the same bytes in the other order; nothing tells", ">f4", "either")
dtype("object_without_filter", "objects that nothing decodes", "|O")
dtype("negative_text", "text of a negative length", "<U-5")
dtype("huge_text", "4 GB in an item", "<U999999999")
dtype("unknown_unit", "time in no unit", "<M8[parsec]")
dtype("number", "a type is a name", 4)
dtype("fields_empty", "a record without fields", [])
dtype(
    "fields_nested", "records in records: the bytes are the same", [["a", [["b", [["c", "<f4"]]]]]], "either"
)
dtype("empty", "a type is a name", "")
field("v2_order_unknown", "neither C nor F", lambda m: m.update(order="X"), formats=V2)
field(
    "v2_filter_unknown",
    "a filter that nobody knows",
    lambda m: m.update(filters=[{"id": "snake_oil"}]),
    formats=V2,
)
field("v2_filters_text", "filters are a list", lambda m: m.update(filters="delta"), formats=V2)
field(
    "v2_compressor_list",
    "a compressor is an object",
    lambda m: m.update(compressor=[m["compressor"]]),
    formats=V2,
)
field("v2_compressor_without_id", "which one?", lambda m: m["compressor"].pop("id"), formats=V2)
field(
    "v2_compressor_other",
    "the chunks are blosc, the metadata says zstd",
    lambda m: m.update(compressor={"id": "zstd", "level": 1}),
    formats=V2,
)
field(
    "v2_compressor_null",
    "the chunks are blosc, the metadata says nothing",
    lambda m: m.update(compressor=None),
    formats=V2,
)
field(
    "v2_separator_unknown",
    "neither a dot nor a slash",
    lambda m: m.update(dimension_separator="x"),
    formats=V2,
)
field(
    "v2_delta_of_floats",
    "a filter on the wrong type",
    lambda m: m.update(filters=[{"id": "delta", "dtype": "<i9"}]),
    formats=V2,
)

field("v3_codecs_empty", "nothing makes bytes of values", lambda m: m.update(codecs=[]), formats=V3)
field("v3_codecs_null", "codecs are a list", lambda m: m.update(codecs=None), formats=V3)
field(
    "v3_bytes_twice",
    "bytes of bytes",
    lambda m: inner_codecs(m).insert(0, {"name": "bytes", "configuration": {"endian": "little"}}),
    formats=V3,
)
field("v3_bytes_missing", "bytes to bytes alone", lambda m: inner_codecs(m).pop(0), formats=V3)
field(
    "v3_codecs_in_wrong_order",
    "compressed before it is bytes",
    lambda m: inner_codecs(m).reverse(),
    formats=V3,
)
field(
    "v3_endian_unknown",
    "neither little nor big",
    lambda m: inner_codecs(m)[0]["configuration"].update(endian="middle"),
    formats=V3,
)
field(
    "v3_transpose_twice_one_axis",
    "no order of the axes",
    lambda m: inner_codecs(m).insert(0, {"name": "transpose", "configuration": {"order": [0, 0]}}),
    formats=V3,
)
field(
    "v3_transpose_rank",
    "an order of three axes",
    lambda m: inner_codecs(m).insert(0, {"name": "transpose", "configuration": {"order": [2, 1, 0]}}),
    formats=V3,
)
field("v3_codec_number", "a codec has a name", lambda m: m["codecs"].append(7), formats=V3)
field("v3_codec_without_name", "which one?", lambda m: m["codecs"].append({"configuration": {}}), formats=V3)
field(
    "v3_codecs_1000",
    "a thousand checksums",
    lambda m: inner_codecs(m).extend([{"name": "crc32c"}] * 1000),
    formats=V3,
)
field(
    "v3_crc_not_there",
    "a checksum that was not written",
    lambda m: m["codecs"].append({"name": "crc32c"}),
    formats="v3",
)
field(
    "v3_keys_unknown",
    "how keys are made",
    lambda m: m.update(chunk_key_encoding={"name": "hashed"}),
    formats=V3,
)
field(
    "v3_separator_unknown",
    "neither a dot nor a slash",
    lambda m: m["chunk_key_encoding"].update(configuration={"separator": ".."}),
    formats=V3,
)
field("v3_grid_unknown", "another grid", lambda m: m["chunk_grid"].update(name="hexagonal"), formats=V3)
field(
    "v3_storage_transformers",
    "something between keys and values",
    lambda m: m.update(storage_transformers=[{"name": "scramble"}]),
    formats=V3,
)
field("v3_node_type_unknown", "neither array nor group", lambda m: m.update(node_type="pile"), formats=V3)
field(
    "v3_data_type_object",
    "a type without a name",
    lambda m: m.update(data_type={"configuration": {}}),
    formats=V3,
)
field(
    "v3_data_type_narrow",
    "chunks of four bytes an item, read as of two",
    lambda m: m.update(data_type="int16", fill_value=0),
    formats=V3,
)
field("v3_attributes_list", "attributes are an object", lambda m: m.update(attributes=[1]), formats=V3)
field("v3_fill_missing", "a fill value must be there", lambda m: m.pop("fill_value"), formats=V3)
field(
    "v3_fill_hex",
    "the bits of a fill value are legal",
    lambda m: m.update(fill_value="0x00000000"),
    "value",
    V3,
    groups.ODD,
)


@kind(
    "attributes_nested_10000",
    groups.JSON,
    "either",
    "nesting without end, in an attribute that nobody reads",
    consolidate=False,
)
def _(s):
    s.consolidate(remove=True)
    place = s.meta(NODE, "attrs")
    doc = place.read_text().rstrip().removesuffix("}").rstrip()
    comma = "," if not doc.endswith("{") else ""
    place.write_text(doc + comma + '"deep": ' + "[" * 10_000 + "]" * 10_000 + "}")


# ── consolidated


def root(change, at=None, expect="error", group=groups.CONSOLIDATED):
    """Changes what is consolidated, and not the files."""

    def make(s):
        s.consolidate()
        place = s.path / (".zmetadata" if s.v2 else "zarr.json")
        doc = json.loads(place.read_text())
        nodes = doc["metadata"] if s.v2 else doc["consolidated_metadata"]["metadata"]
        change(doc, nodes, ".zarray" if s.v2 else "")
        place.write_text(json.dumps(doc))

    return make


def consolidated(name, why, change, expect="error", formats="v2 v3", at=None, **more):
    kind(name, groups.CONSOLIDATED, expect, why, formats, at=at, consolidate=False, **more)(root(change))


def key(nodes, path, end):
    return f"{path}/{end}" if end else path


def drop(path):
    def change(_doc, nodes, _end):
        for name in [n for n in nodes if n == path or n.startswith(path + "/")]:
            del nodes[name]

    return change


def without_layer(a):
    del a.layers["dense"]


consolidated(
    "consolidated_lacks_a_node",
    "what is not listed is not there: listings are for that",
    drop("layers/dense"),
    "value",
    truth=without_layer,
)
consolidated("consolidated_lacks_a_part", "a matrix without its values", drop("X/data"), at="X")
consolidated("consolidated_lacks_a_column", "the table names it", drop("obs/num"), at="obs")
consolidated(
    "consolidated_other_dtype",
    "it says other than the array itself; which is right cannot be known",
    lambda _d, n, e: n[key(n, NODE, e)].update({"dtype": "<i4"} if e else {"data_type": "int32"}),
    "either",
)
consolidated(
    "consolidated_other_codec",
    "it says other than the array itself",
    lambda _d, n, e: n[key(n, NODE, e)].update(
        {"compressor": {"id": "zstd", "level": 1}}
        if e
        else {"codecs": [n[NODE]["codecs"][0], {"name": "gzip", "configuration": {"level": 1}}]}
    ),
    "error",
    at=NODE,
)
consolidated(
    "consolidated_node_is_null",
    "a node that is nothing",
    lambda _d, n, e: n.update({key(n, NODE, e): None}),
    at=NODE,
)
consolidated(
    "consolidated_node_is_list",
    "a node is an object",
    lambda _d, n, e: n.update({key(n, NODE, e): []}),
    at=NODE,
)
consolidated(
    "consolidated_is_a_list",
    "nodes have names",
    lambda d, _n, e: (d if e else d["consolidated_metadata"]).update(metadata=[1]),
    at=None,
)
consolidated(
    "consolidated_kind_unknown",
    "another kind: a reader may walk instead",
    lambda d, _n, e: (
        d.update(zarr_consolidated_format=7) if e else d["consolidated_metadata"].update(kind="remote")
    ),
    "either",
)
consolidated(
    "consolidated_name_escapes",
    "a node outside of the store",
    lambda _d, n, e: n.update({f"../x/{e}".strip("/"): n[key(n, NODE, e)]}),
    "either",
)
consolidated(
    "consolidated_name_empty_part",
    "a path with nothing between slashes",
    lambda _d, n, e: n.update({f"uns//x/{e}".strip("/"): n[key(n, "uns/scalar", e)]}),
    "either",
)
consolidated(
    "consolidated_child_of_array",
    "an array with children",
    lambda _d, n, e: n.update({f"obs/num/x/{e}".strip("/"): n[key(n, "obs/num", e)]}),
    "either",
)
consolidated(
    "consolidated_5000_ghosts",
    "nodes that are not there",
    lambda _d, n, e: n.update(
        {f"uns/ghost{i}/{e}".strip("/"): n[key(n, "uns/scalar", e)] for i in range(5_000)}
    ),
    "either",
)
consolidated(
    "consolidated_nested_2000",
    "groups in groups",
    lambda _d, n, e: n.update(
        {
            f"uns/d/{'n/' * i}{'.zgroup' if e else ''}".strip("/"): {"zarr_format": 2}
            if e
            else {"zarr_format": 3, "node_type": "group", "attributes": {}}
            for i in range(1, 2000)
        }
    ),
    "either",
)


@kind(
    "consolidated_garbage",
    groups.CONSOLIDATED,
    "error",
    "what is there cannot be read",
    "v2",
    consolidate=False,
)
def _(s):
    (s.path / ".zmetadata").write_bytes(b"\x00\xff{")


@kind(
    "consolidated_alone",
    groups.CONSOLIDATED,
    "error",
    "all files are gone, but what lists them",
    "v2 v3",
    consolidate=False,
)
def _(s):
    import shutil

    s.consolidate()
    for child in s.path.iterdir():
        if child.is_dir():
            shutil.rmtree(child)


@kind(
    "zgroup_beside_zarr_json",
    groups.ODD,
    "value",
    "both formats at the root: zarr.json is looked at first",
    "v3 v3s",
)
def _(s):
    (s.path / ".zgroup").write_text('{"zarr_format": 2}')


@kind("zarr_json_beside_zgroup", groups.JSON, "either", "a group of v3 and a store of v2 in one place", "v2")
def _(s):
    (s.path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
