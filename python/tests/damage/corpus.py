"""The damaged stores of the corpus: what its `corrupt.py make` builds, each with what it expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from damage import groups as g

CORPUS = Path(os.environ.get("LAZARR_CORPUS") or Path(__file__).parents[4] / "shared" / "corpus")

GROUPS = {
    g.CUT: "chunk_truncated_half chunk_empty_file chunk_header_flip chunk_random_bytes decoded_too_small decoded_too_big",
    g.CHECKED: "shard_inner_crc_bad",
    g.UNCHECKED: "chunk_payload_flip chunk_trailing_garbage shard_overlap_same_range",
    g.CODEC: "blosc_header_nbytes_huge blosc_cbytes_wrong zstd_content_size_huge zstd_bomb_real",
    g.LEGAL: "chunk_missing shard_all_missing",
    g.ABSENT: "chunk_missing_in_indptr sparse_data_missing categories_missing index_array_missing mask_missing obs_missing "
    "array_meta_missing",
    g.SHARD: "shard_index_crc_bad shard_index_payload_flip shard_offset_oob shard_nbytes_huge "
    "shard_offset_plus_len_overflow shard_half_missing_marker shard_range_into_index shard_truncated_below_index "
    "shard_truncated_tail shard_index_location_lies shard_inner_not_dividing",
    g.INDPTR: "indptr_not_monotone indptr_last_too_big indptr_last_too_small indptr_first_nonzero indptr_negative "
    "indptr_huge indptr_too_short indptr_too_long indptr_empty indptr_float",
    g.INDICES: "indices_out_of_bounds indices_far_out_of_bounds indices_negative indices_shorter_than_data indices_float "
    "csc_indices_out_of_bounds indices_duplicate csr_labelled_csc",
    g.LENGTHS: "sparse_shape_attr_bigger sparse_shape_attr_cols_smaller sparse_shape_attr_missing sparse_shape_attr_negative "
    "sparse_shape_attr_huge sparse_shape_attr_strings column_too_short column_2d obsm_rows_mismatch layer_shape_mismatch",
    g.CATEGORIES: "codes_beyond_categories codes_below_minus_one codes_too_short codes_float ordered_attr_missing",
    g.MISSING: "mask_too_short",
    g.TABLES: "column_order_names_absent_column column_order_missing column_order_path_traversal column_order_duplicate "
    "index_attr_dangling index_attr_traversal",
    g.STRINGS: "string_not_utf8 string_len_prefix_huge string_count_too_big string_count_too_small string_payload_truncated",
    g.JSON: "json_garbage json_truncated json_root_is_list json_empty_file json_root_nan_literal json_nested_100k "
    "root_json_garbage node_type_lies zarr_format_4",
    g.FIELDS: "shape_negative shape_float chunk_zero chunk_rank_mismatch chunk_negative chunk_grid_mismatch codec_unknown "
    "dtype_unknown dtype_wrong_width fill_value_bad_type v3_must_understand_ext",
    g.HUGE: "shape_huge shape_overflow_u64 chunk_huge",
    g.ENCODING: "root_attrs_missing x_attrs_missing encoding_type_unknown encoding_version_unknown encoding_type_not_string "
    "encoding_array_on_group encoding_dataframe_on_dict root_encoding_is_csr uns_deep_nesting_1500",
    g.CONSOLIDATED: "consolidated_ghost_node consolidated_stale_shape",
    g.FILES: "chunk_is_directory symlink_cycle",
    g.ODD: "indices_unsorted data_nan_inf column_order_omits_column x_missing v3_must_understand_false string_embedded_nul "
    "obs_names_duplicate",
}  # fmt: skip
"""The line of the table for each kind."""


NOT_LOCAL = {
    "chunk_grid_mismatch": "keys of the declared grid that nobody wrote are absent chunks, and those are legal: "
    "a slice of nothing but them cannot tell",
}
"""Kinds whose slices are judged otherwise than `corrupt.py` would, and why."""

AT_ROOT = {
    "root_encoding_is_csr": "the root has no name and is no value in one key: the path that was opened is said"
}
"""Kinds whose error names neither element nor key, and why."""


def group(name: str) -> str:
    return next(group for group, names in GROUPS.items() if name in names.split())


def listed() -> list[tuple[str, str, str]]:
    """Kind, format and expectation of every store that is made; nothing where there is no corpus."""
    if not (CORPUS / "corrupt.py").is_file():
        return []
    ask = "import json, corrupt; print(json.dumps([[c[0], f, c[1]] for c in corrupt.CASES for f in c[2]]))"
    out = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=CORPUS,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=True,
        text=True,
    )
    return [tuple(item) for item in json.loads(out.stdout)]


def make(out: Path) -> dict[tuple[str, str], Path]:
    """Runs `corrupt.py make`; gives the stores that it made, by kind and format."""
    words = [sys.executable, "-W", "ignore", str(CORPUS / "corrupt.py"), "make", str(out)]
    # Some kinds are of strings as pandas 2 had them; pandas 3 writes these when it is asked.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PANDAS_FUTURE_INFER_STRING": "0"}
    subprocess.run(words, env=env, capture_output=True, check=True)
    return made(out)


def made(out: Path) -> dict[tuple[str, str], Path]:
    cases = json.loads((out / "cases.json").read_text())
    return {(c["case"], c["fmt"]): out / c["path"] for c in cases}


def good(out: Path, fmt: str) -> Path:
    return out / "good" / f"{fmt}.zarr"
