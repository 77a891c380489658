"""AnnData's encodings, records, ragged arrays, and what is in uns."""

from __future__ import annotations

import functools
import json

import numpy as np

from damage import groups
from damage.registry import kind


def attrs(name, why, node, expect="error", group=groups.ENCODING, formats="v2 v3 v3s", at="", **fields):
    kind(name, group, expect, why, formats, at=(at or node or None) if expect == "error" else None)(
        lambda s: s.attrs(node, **{k.replace("_", "-", 1): v for k, v in fields.items()})
    )


attrs("encoding_type_null", "an encoding has a name", "X", encoding_type=None)
attrs("encoding_version_number", "0.1 is a number, versions are text", "X", encoding_version=0.1)
attrs("encoding_type_long", "a megabyte of name", "X", encoding_type="x" * (1 << 20))
attrs(
    "dense_labelled_sparse",
    "an array is no matrix of parts",
    "layers/dense",
    encoding_type="csr_matrix",
    encoding_version="0.1.0",
)
attrs("strings_labelled_numbers", "text where numbers are said", "obs/txt", "either", encoding_type="array")
attrs("numbers_labelled_strings", "numbers where text is said", "obs/num", encoding_type="string-array")
attrs("array_labelled_scalar", "ten values are not one", "uns/d/arr", encoding_type="numeric-scalar")
attrs(
    "scalar_labelled_dict",
    "an array is no mapping",
    "uns/scalar",
    encoding_type="dict",
    encoding_version="0.1.0",
)
attrs(
    "dict_labelled_categorical",
    "no codes in it",
    "uns/d",
    encoding_type="categorical",
    encoding_version="0.2.0",
)
attrs(
    "dict_labelled_awkward", "no form in it", "uns/d", encoding_type="awkward-array", encoding_version="0.1.0"
)
attrs("raw_labelled_dict", "raw without its encoding", "raw", "either", encoding_type="dict")
attrs(
    "layers_labelled_table",
    "a mapping is no table",
    "layers",
    encoding_type="dataframe",
    encoding_version="0.2.0",
)
attrs("obs_labelled_dict", "a mapping is no table", "obs", encoding_type="dict", encoding_version="0.1.0")
attrs("numbers_labelled_records", "numbers have no fields", "obsm/X_pca", "either", encoding_type="rec-array")
attrs(
    "text_labelled_nullable",
    "nullable integers of strings",
    "obs/ns",
    encoding_type="nullable-integer",
    encoding_version="0.1.0",
)


@kind("obs_is_an_array", groups.ENCODING, "error", "a table is a group", at="obs")
def _(s):
    s.remove("obs")
    s.group().create_array(
        "obs", data=np.arange(40.0), attributes={"encoding-type": "array", "encoding-version": "0.2.0"}
    )


@kind("var_absent", groups.ABSENT, "error", "genes have a table", at="var")
def _(s):
    s.remove("var")


@kind("raw_without_its_genes", groups.ABSENT, "error", "raw has a table of its own", at="raw")
def _(s):
    s.remove("raw/var")


@kind("raw_without_its_matrix", groups.ABSENT, "either", "a raw of genes alone")
def _(s):
    s.remove("raw/X")


@kind("extra_key_at_the_root", groups.ODD, "either", "anndata refuses it; what is known can be read")
def _(s):
    s.group().create_group("junk", attributes={"encoding-type": "dict", "encoding-version": "0.1.0"})


# ── ragged arrays: a form, a length, offsets and values


def awkward(name, why, change, at="obsm/awk"):
    kind(name, groups.ENCODING, "error", why, at=at)(change)


def form(change):
    def make(s):
        old = json.loads(
            s.doc("obsm/awk", "attrs")["form"] if s.v2 else s.doc("obsm/awk")["attributes"]["form"]
        )
        new = change(old)
        s.attrs("obsm/awk", form=new if isinstance(new, str | int) else json.dumps(new))

    return make


awkward("awkward_form_not_json", "its form is no JSON", form(lambda _: "{nonsense"))
awkward("awkward_form_number", "its form is a text", form(lambda _: 7))
awkward(
    "awkward_form_unknown",
    "a class that there is not",
    form(lambda _: {"class": "KnotArray", "form_key": "node0"}),
)
awkward(
    "awkward_form_without_keys",
    "buffers that nobody names",
    form(lambda f: {k: v for k, v in f.items() if k != "form_key"}),
)
awkward("awkward_form_escapes", "a buffer outside of it", form(lambda f: {**f, "form_key": "../../X/data"}))
awkward(
    "awkward_form_nested_5000",
    "lists in lists",
    form(lambda _: '{"class":"RegularArray","size":1,"content":' * 5000 + '"float64"' + "}" * 5000),
)
awkward("awkward_length_longer", "fewer rows than it says", lambda s: s.attrs("obsm/awk", length=400))
awkward("awkward_length_shorter", "not as many as cells", lambda s: s.attrs("obsm/awk", length=7))
awkward("awkward_length_negative", "a length is none", lambda s: s.attrs("obsm/awk", length=-1))
awkward("awkward_length_huge", "more than memory counts", lambda s: s.attrs("obsm/awk", length=2**62))
awkward("awkward_length_text", "a length is a number", lambda s: s.attrs("obsm/awk", length="40"))
awkward("awkward_buffer_absent", "its values are gone", lambda s: s.remove("obsm/awk/node1-data"))
awkward(
    "awkward_offsets_short",
    "offsets of other rows",
    lambda s: s.put("obsm/awk/node0-offsets", s.get("obsm/awk/node0-offsets")[:-5]),
)
awkward(
    "awkward_offsets_fall",
    "a row that ends before it begins",
    lambda s: s.put("obsm/awk/node0-offsets", s.get("obsm/awk/node0-offsets")[::-1]),
)
awkward(
    "awkward_offsets_negative",
    "a row before the first value",
    lambda s: s.put("obsm/awk/node0-offsets", s.get("obsm/awk/node0-offsets") - 5),
)
awkward(
    "awkward_offsets_beyond",
    "rows behind the last value",
    lambda s: s.put("obsm/awk/node0-offsets", s.get("obsm/awk/node0-offsets") * 1000),
)
awkward(
    "awkward_values_short",
    "fewer values than rows need",
    lambda s: s.put("obsm/awk/node1-data", s.get("obsm/awk/node1-data")[:-3]),
)
awkward(
    "awkward_values_text",
    "text where numbers are said",
    lambda s: s.put("obsm/awk/node1-data", s.get("obsm/awk/node1-data").astype(str).astype(object)),
)

# ── uns


@kind("uns_chunk_cut", groups.CUT, "error", "a chunk of an array in uns", at="uns/d/arr")
def _(s):
    s.mutate("uns/d/arr", lambda b: b[: len(b) // 2])


@kind(
    "scalar_absent",
    groups.LEGAL,
    "value",
    "an empty text is the fill value, and is not written",
    truth="anndata",
)
def _(s):
    for chunk in s.chunks("uns/s"):
        chunk.unlink()


@kind("record_chunk_cut", groups.CUT, "error", "half of the records", at="uns/rec")
def _(s):
    s.mutate("uns/rec", lambda b: b[: len(b) // 2])


def add(key, a):
    a.uns[key] = np.arange(3)


def named(name, why, key):
    @kind(name, groups.ODD, "value", why, truth=functools.partial(add, key))
    def _(s):
        s.group()["uns"].create_array(
            key, data=np.arange(3), attributes={"encoding-type": "array", "encoding-version": "0.2.0"}
        )


named("key_with_escape_sequence", "a name is data: nothing may reach the terminal", "\x1b[31mred\x1b[0m")
named("key_with_newline", "a name of two lines", "two\nlines")
named("key_of_240_letters", "a long name", "k" * 240)
named("key_of_other_scripts", "letters that join and turn", "ק\u202eע\u0301")


@kind("uns_group_without_encoding", groups.ODD, "value", "older stores have none: it is a mapping")
def _(s):
    s.edit("uns/d", lambda a: [a.pop(k, None) for k in ("encoding-type", "encoding-version")], "attrs")
