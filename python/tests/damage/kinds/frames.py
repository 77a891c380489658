"""Tables: columns, masks, categories, names, strings."""

from __future__ import annotations

import struct

import numcodecs
import numpy as np

from damage import groups
from damage.good import N_OBS
from damage.kinds.sparse import array
from damage.registry import kind

# ── masks

MASK = "obs/ni/mask"
array("mask_longer", groups.MISSING, "a mask of other rows", MASK, lambda a: np.append(a, a), at="obs/ni")
array("mask_2d", groups.MISSING, "a mask has one axis", MASK, lambda a: a.reshape(-1, 1), at="obs/ni")
array(
    "mask_text",
    groups.MISSING,
    "a mask is of booleans",
    MASK,
    lambda a: a.astype(str).astype(object),
    at="obs/ni",
)
array("mask_float", groups.MISSING, "a mask is of booleans", MASK, lambda a: a.astype("f8"), at="obs/ni")
array("mask_empty", groups.MISSING, "no mask", MASK, lambda a: a[:0], at="obs/ni")
array(
    "mask_int8",
    groups.MISSING,
    "0 and 1 in another type: anndata refuses it, a reader may",
    MASK,
    lambda a: a.astype("i1"),
    "either",
)
array("string_mask_short", groups.MISSING, "the mask of strings", "obs/ns/mask", lambda a: a[:7], at="obs/ns")
array(
    "boolean_values_text",
    groups.MISSING,
    "nullable booleans of text",
    "obs/nb/values",
    lambda a: a.astype(str).astype(object),
    at="obs/nb",
)
array(
    "integer_values_2d",
    groups.MISSING,
    "a column has one axis",
    "obs/ni/values",
    lambda a: a.reshape(-1, 1),
    at="obs/ni",
)
array(
    "integer_values_short",
    groups.MISSING,
    "values of other rows",
    "obs/ni/values",
    lambda a: a[:-2],
    at="obs/ni",
)
array(
    "integer_values_text",
    groups.MISSING,
    "nullable integers of text",
    "obs/ni/values",
    lambda a: a.astype(str).astype(object),
    at="obs/ni",
)


@kind(
    "mask_byte_2",
    groups.MISSING,
    "either",
    "a boolean that is neither 0 nor 1; nothing says what it is",
    "v2",
)
def _(s):
    s.mutate(MASK, lambda _: numcodecs.Blosc("lz4").encode(bytes([2, 0] * 8)))


@kind("values_absent", groups.ABSENT, "error", "a mask without values", at="obs/ni")
def _(s):
    s.remove("obs/ni/values")


@kind(
    "na_value_unknown", groups.ODD, "value", "an unknown na-value must not be an error: the values are there"
)
def _(s):
    s.attrs("obs/ns", **{"na-value": "NA"})


# ── categories

CODES = "obs/cat/codes"
array("codes_2d", groups.CATEGORIES, "codes have one axis", CODES, lambda a: a.reshape(-1, 1), at="obs/cat")
array(
    "codes_text",
    groups.CATEGORIES,
    "codes are integers",
    CODES,
    lambda a: a.astype(str).astype(object),
    at="obs/cat",
)
array(
    "codes_longer",
    groups.CATEGORIES,
    "codes of other rows",
    CODES,
    lambda a: np.append(a, a[:1]),
    at="obs/cat",
)


CODES = "obs/ord/codes"


def code(value, dtype):
    def change(a):
        a = a.astype(dtype)
        a[5] = value
        return a

    return change


array("codes_2_63", groups.CATEGORIES, "negative when signed", CODES, code(2**63, "u8"))
array("codes_wrap_to_8_bits", groups.CATEGORIES, "257 would be 1 in 8 bits", CODES, code(257, "i4"))
array(
    "codes_255_unsigned",
    groups.CATEGORIES,
    "no code is missing where codes have no sign",
    CODES,
    code(255, "u1"),
)
array("codes_at_count", groups.CATEGORIES, "one past the last category", CODES, code(2, "i1"))

NAMES = "obs/cat/categories"
array(
    "categories_twice",
    groups.CATEGORIES,
    "two codes of one name",
    NAMES,
    lambda _: np.array(["T cell", "T cell", "NK"], object),
    at="obs/cat",
    shown=True,
)
array(
    "categories_2d",
    groups.CATEGORIES,
    "categories have one axis",
    NAMES,
    lambda a: a.reshape(1, -1),
    at="obs/cat",
)
array("categories_fewer", groups.CATEGORIES, "codes beyond them", NAMES, lambda a: a[:1], at="obs/cat")
array("categories_empty", groups.CATEGORIES, "no category, yet codes", NAMES, lambda a: a[:0], at="obs/cat")


@kind("categories_nan", groups.CATEGORIES, "error", "a category that is no value", at="obs/cat", shown=True)
def _(s):
    s.put(NAMES, np.array([1.0, np.nan, 2.0]))
    s.attrs(NAMES, **{"encoding-type": "array"})


@kind("categories_nan_twice", groups.CATEGORIES, "error", "and twice", at="obs/cat", shown=True)
def _(s):
    s.put(NAMES, np.array([np.nan, np.nan, 2.0]))
    s.attrs(NAMES, **{"encoding-type": "array"})


@kind("categories_are_a_table", groups.CATEGORIES, "error", "categories are an array", at="obs/cat")
def _(s):
    s.remove(NAMES)
    s.group().create_group(
        NAMES,
        attributes={
            "encoding-type": "dataframe",
            "encoding-version": "0.2.0",
            "column-order": [],
            "_index": "_index",
        },
    )


for name, value, expect in (
    ("text", "yes", "error"),
    ("number", 1, "either"),
    ("null", None, "either"),
    ("list", [True], "error"),
):
    kind(
        f"ordered_is_{name}",
        groups.CATEGORIES,
        expect,
        "whether categories have an order is true or false",
        at="obs/cat" if expect == "error" else None,
    )(lambda s, value=value: s.attrs("obs/cat", ordered=value))


# ── column order and index


def order(name, why, change, expect="error", **more):
    kind(name, groups.TABLES, expect, why, at="obs" if expect == "error" else None, **more)(
        lambda s: s.edit("obs", lambda a: a.update({"column-order": change(a["column-order"])}), "attrs")
    )


order("column_order_text", "a list of names", lambda _: "num")
order("column_order_numbers", "names are text", lambda _: [1, 2])
order("column_order_null_in_it", "names are text", lambda c: [*c, None])
order("column_order_map", "a list of names", lambda c: dict.fromkeys(c, 0))
order("column_order_nested", "a list of names, not of lists", lambda c: [c])
order("column_order_empty_name", "a child without a name", lambda c: [*c, ""])
order("column_order_dot", "the table itself", lambda c: [*c, "."])
order("column_order_absolute", "a path is no name", lambda c: [*c, "/X/data"])
order("column_order_nul", "no key holds a NUL", lambda c: [*c, "a\0b"])
order(
    "column_order_100000",
    "a hundred thousand names that are not there",
    lambda c: [*c, *(f"x{i}" for i in range(100_000))],
)


def index_attr(name, why, value):
    kind(name, groups.TABLES, "error", why, at="obs")(lambda s: s.attrs("obs", _index=value))


index_attr("index_attr_number", "a name is text", 3)
index_attr("index_attr_empty", "a child without a name", "")
index_attr("index_attr_list", "a name is text", ["_index"])
index_attr("index_attr_absolute", "a path is no name", "/obs/_index")
index_attr("index_attr_long", "a name that no file system holds", "x" * 100_000)


@kind("index_attr_missing", groups.TABLES, "error", "the names of the rows cannot be found", at="obs")
def _(s):
    s.edit("obs", lambda a: a.pop("_index"), "attrs")


@kind("index_is_a_group", groups.TABLES, "error", "the names of the rows are an array", at="obs")
def _(s):
    s.remove("obs/_index")
    s.group().create_group("obs/_index", attributes={"encoding-type": "dict", "encoding-version": "0.1.0"})


array("index_2d", groups.TABLES, "names have one axis", "obs/_index", lambda a: a.reshape(-1, 1), at="obs")
array("index_shorter", groups.LENGTHS, "names of other rows", "obs/_index", lambda a: a[:-1], at=None)
array(
    "var_index_longer",
    groups.LENGTHS,
    "more names than genes",
    "var/_index",
    lambda a: np.append(a, ["more"]).astype(object),
    at=None,
)
array("column_longer", groups.LENGTHS, "a column of other rows", "obs/int", lambda a: np.append(a, a))
array("column_3d", groups.LENGTHS, "a column has one axis", "obs/int", lambda a: a.reshape(-1, 1, 1))


@kind("names_twice", groups.ODD, "either", "anndata only warns, but no label says which row is meant")
def _(s):
    for node in ("obs/_index", "obsm/tab/_index"):
        s.put(node, np.array(["cell1", *s.get(node)[1:]], object))


@kind("column_is_sparse", groups.ENCODING, "error", "a matrix is no column", at="obs/int")
def _(s):
    s.remove("obs/int")
    g = s.group().create_group(
        "obs/int",
        attributes={"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [N_OBS, 1]},
    )
    for part in ("data", "indices", "indptr"):
        g.create_array(part, data=np.zeros(N_OBS + 1 if part == "indptr" else 0, "i4"))


@kind("column_is_scalar", groups.LENGTHS, "error", "one value is no column", at="obs/int")
def _(s):
    s.remove("obs/int")
    s.group().create_array(
        "obs/int",
        shape=(),
        dtype="i4",
        attributes={"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"},
    )


# ── strings: a count, then a length and the bytes of each


def text(name, why, change, expect="error", node="obs/txt"):
    """Changes the decoded bytes of a chunk of 16 strings."""

    @kind(name, groups.STRINGS, expect, why, "v2 v3", at=node if expect == "error" else None)
    def _(s):
        codec = numcodecs.Blosc("lz4") if s.v2 else numcodecs.Zstd(3)
        s.mutate(node, lambda b: codec.encode(bytes(change(bytearray(codec.decode(bytes(b)))))))


def put(at, data):
    return lambda b: b[:at] + data + b[at + len(data) :]


text(
    "string_item_overlaps_end",
    "the last string is longer than what is left",
    lambda b: put(len(b) - 8, struct.pack("<I", 40))(b),
)
text("string_trailing_bytes", "bytes behind the last string", lambda b: b + b"more", "either")
text("string_count_0", "none of 16 strings", put(0, struct.pack("<I", 0)))
text("string_count_one_more", "one more than there are", put(0, struct.pack("<I", 17)))
text("string_count_negative", "signed in some writers", put(0, struct.pack("<I", 2**32 - 1)))
text("string_length_negative", "signed in some writers", put(4, struct.pack("<I", 2**32 - 1)))
text("string_lengths_shift", "the first string takes in the next", put(4, struct.pack("<I", 9)))
text("string_surrogate", "half of a pair is no text", put(8, b"\xed\xa0\x80"))
text("string_overlong", "a NUL spelled in two bytes", put(8, b"\xc0\x80"))
text(
    "string_cut_in_a_letter",
    "two bytes of a letter, one of them",
    lambda b: put(4, struct.pack("<I", 1))(b[:9] + b[11:]),
    node="obs/txt",
)
text("string_empty_chunk", "not even a count", lambda _: b"")
text("string_three_bytes", "half of a count", lambda b: b[:3])
text("names_not_utf8", "names that are no text", put(8, b"\xff\xfe"), node="obs/_index")
text("categories_not_utf8", "categories that are no text", put(8, b"\xff\xfe"), node="obs/cat/categories")
