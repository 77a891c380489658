"""Sparse matrices, and the shapes that an object must agree on."""

from __future__ import annotations

import numpy as np

from damage import groups
from damage.good import N_OBS, N_RAW, N_VARS
from damage.registry import kind


def array(name, group, why, node, change, expect="error", **more):
    """Writes an array of the matrix anew, changed."""
    more.setdefault("at", node if expect == "error" else None)

    @kind(name, group, expect, why, **more)
    def _(s):
        s.put(node, change(s.get(node)))


def item(k, value, dtype=None):
    def change(a):
        a = a.astype(dtype or a.dtype)
        a[k] = value
        return a

    return change


STARTS = "X/indptr"
array(
    "indptr_beyond_2_63",
    groups.INDPTR,
    "an unsigned start that is negative when signed",
    STARTS,
    item(7, 2**63 + 5, "u8"),
)
array("indptr_ends_at_2_64", groups.INDPTR, "the largest number there is", STARTS, item(-1, 2**64 - 1, "u8"))
array(
    "indptr_2d",
    groups.INDPTR,
    "row starts are one row of numbers",
    STARTS,
    lambda a: a.reshape(-1, 1),
    at="X",
)
array("indptr_bool", groups.INDPTR, "row starts are integers", STARTS, lambda a: a > 0, at="X")
array(
    "indptr_text",
    groups.INDPTR,
    "row starts are integers",
    STARTS,
    lambda a: a.astype(str).astype(object),
    at="X",
)
array(
    "indptr_one_short",
    groups.INDPTR,
    "one row start less than rows",
    STARTS,
    lambda a: np.delete(a, 5),
    at="X",
)
array(
    "indptr_all_0",
    groups.INDPTR,
    "no row has a value, yet there are values; only the last start tells",
    STARTS,
    lambda a: a * 0,
    local=False,
)
array(
    "indptr_falls_at_last",
    groups.INDPTR,
    "the last start is before the one before",
    STARTS,
    lambda a: item(-2, a[-1] + 1)(a),
)
array(
    "indptr_shuffled",
    groups.INDPTR,
    "the same starts in another order",
    STARTS,
    lambda a: a[np.r_[0, 2, 1, 3 : len(a)]],
)
array(
    "csc_indptr_falls",
    groups.INDPTR,
    "column starts of a csc matrix",
    "layers/csc/indptr",
    lambda a: item(4, a[9])(a),
)
array(
    "obsp_indptr_huge", groups.INDPTR, "a start far behind the end", "obsp/near/indptr", item(3, 2**40, "i8")
)

array(
    "data_longer_than_indices",
    groups.INDICES,
    "values without a column",
    "X/data",
    lambda a: np.append(a, a[:5]),
    at="X",
)
array(
    "data_shorter_than_indices", groups.INDICES, "columns without a value", "X/data", lambda a: a[:-1], at="X"
)
array(
    "data_2d",
    groups.INDICES,
    "stored values are one row of numbers",
    "X/data",
    lambda a: a.reshape(1, -1),
    at="X",
)
array(
    "data_text",
    groups.INDICES,
    "stored values are numbers",
    "X/data",
    lambda a: a.astype(str).astype(object),
    at="X",
)
array("data_empty", groups.INDICES, "row starts end behind it", "X/data", lambda a: a[:0], at="X")
array(
    "indices_2d",
    groups.INDICES,
    "indices are one row of numbers",
    "X/indices",
    lambda a: a.reshape(-1, 1),
    at="X",
)
array("indices_bool", groups.INDICES, "indices are integers", "X/indices", lambda a: a > 3, at="X")
array("indices_at_n_vars", groups.INDICES, "one past the last column", "X/indices", item(20, N_VARS))
array("indices_beyond_2_63", groups.INDICES, "negative when signed", "X/indices", item(0, 2**63 + 1, "u8"))
array(
    "indices_wrap_to_32_bits",
    groups.INDICES,
    "2^32 + 1 would be 1 in 32 bits",
    "X/indices",
    item(0, 2**32 + 1, "i8"),
)
array("raw_indices_out", groups.INDICES, "the matrix of raw", "raw/X/indices", item(3, N_RAW + 1))
array("obsp_indices_out", groups.INDICES, "cells that there are not", "obsp/near/indices", item(3, N_OBS))
array("csc_indices_negative", groups.INDICES, "a row before the first", "layers/csc/indices", item(40, -1))


@kind(
    "sparse_without_any_chunk",
    groups.ABSENT,
    "error",
    "row starts that are absent and values that are not; only the end tells",
    at="X/indptr",
    local=False,
)
def _(s):
    for chunk in s.chunks("X/indptr"):
        chunk.unlink()


def empty_rows(s):
    """The first 20 rows hold nothing; their starts are zeros and are not written."""
    starts = s.get("X/indptr")
    first = int(starts[20])
    s.put("X/data", s.get("X/data")[first:])
    s.put("X/indices", s.get("X/indices")[first:])
    s.put("X/indptr", np.maximum(starts - first, 0))
    s.chunk("X/indptr").unlink()


kind(
    "row_starts_absent_at_first",
    groups.LEGAL,
    "value",
    "zeros until the first stored value are not written",
    "v2 v3",
    truth="anndata",
)(empty_rows)


def shape(name, why, value, expect="error", node="X", group=groups.LENGTHS, **more):
    kind(name, group, expect, why, at=node if expect == "error" else None, **more)(
        lambda s: s.attrs(node, shape=value)
    )


shape("sparse_shape_of_3", "a matrix has two axes", [N_OBS, N_VARS, 1])
shape("sparse_shape_of_1", "a matrix has two axes", [N_OBS])
shape("sparse_shape_float", "a length is an integer", [N_OBS + 0.5, N_VARS])
shape("sparse_shape_not_a_list", "a shape is a list", {"rows": N_OBS})
shape("sparse_shape_bools", "true is no length", [True, N_VARS])
shape("sparse_shape_null", "no shape", None)
shape("sparse_shape_2_64", "more than 64 bits hold", [N_OBS, 2**64])
shape("sparse_columns_more", "wider than var is long", [N_OBS, N_VARS + 1])
shape("sparse_columns_2_40", "an index width of its own", [N_OBS, 2**40])
shape("sparse_transposed_shape", "rows and columns exchanged", [N_VARS, N_OBS])
shape("obsp_not_square", "cells by one more", [N_OBS, N_OBS + 1], node="obsp/near")
shape("layer_columns_more", "a layer that is wider", [N_OBS, N_VARS + 2], node="layers/csc")
shape("raw_columns_more", "wider than raw's genes", [N_OBS, N_RAW + 1], node="raw/X")


@kind("one_row_less_than_obs", groups.LENGTHS, "error", "a whole matrix of other cells", at="X")
def _(s):
    starts = s.get("X/indptr")
    for part in ("data", "indices"):
        s.put(f"X/{part}", s.get(f"X/{part}")[: starts[-2]])
    s.put("X/indptr", starts[:-1])
    s.attrs("X", shape=[N_OBS - 1, N_VARS])


@kind("raw_of_other_cells", groups.LENGTHS, "error", "raw follows the cells of the object", at="raw/X")
def _(s):
    starts = s.get("raw/X/indptr")
    for part in ("data", "indices"):
        s.put(f"raw/X/{part}", s.get(f"raw/X/{part}")[: starts[-4]])
    s.put("raw/X/indptr", starts[:-3])
    s.attrs("raw/X", shape=[N_OBS - 3, N_RAW])


def dense(name, why, node, change):
    array(name, groups.LENGTHS, why, node, change)


dense("varm_other_length", "rows of other genes", "varm/PCs", lambda a: a[:-1])
dense("varp_not_square", "genes by fewer", "varp/corr", lambda a: a[:, :-1])
array(
    "layer_3d",
    groups.LENGTHS,
    "a layer of three axes: anndata reads it with a warning",
    "layers/dense",
    lambda a: a[..., None],
    "either",
)
dense("layer_1d", "a layer has two axes", "layers/dense", lambda a: a[:, 0])
dense("obsm_longer", "more rows than cells", "obsm/X_pca", lambda a: np.concatenate([a, a]))


@kind("obsm_scalar", groups.LENGTHS, "error", "no rows at all", at="obsm/X_pca")
def _(s):
    s.remove("obsm/X_pca")
    s.group().create_array(
        "obsm/X_pca",
        shape=(),
        dtype="f8",
        attributes={"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"},
    )


@kind("obsp_labelled_csc", groups.UNCHECKED, "either", "a square matrix of the other order; nothing tells")
def _(s):
    s.attrs("obsp/near", **{"encoding-type": "csc_matrix"})


@kind("data_is_a_group", groups.ENCODING, "error", "a group where an array should be", at="X")
def _(s):
    s.remove("X/data")
    s.group().create_group("X/data")
