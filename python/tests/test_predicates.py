"""Conditions against pandas, with missing values: LAZARR_PREDICATES says how many."""

from __future__ import annotations

import os
import pickle
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zarr

import lazarr as lz

COUNT = int(os.environ.get("LAZARR_PREDICATES", "600"))
N = 60
TEXT = ["T cell", "B cell", "NK", "", "é", "b cell", "t.cell"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    gone = rng.random(N) < 0.25
    codes = rng.integers(-1, 4, N)
    nan = np.where(gone, np.nan, rng.choice([0.1, -0.0, 1.5, 3, np.inf], N))
    integers = pd.array(rng.integers(-3, 4, N), dtype="Int16")
    flags = pd.array(rng.random(N) < 0.5, dtype="boolean")
    text, plain = pd.array(rng.choice(TEXT, N), dtype="string"), pd.array(rng.choice(TEXT, N), dtype="str")
    for x in (integers, flags, text):
        x[gone] = pd.NA
    plain[gone] = np.nan
    obs = pd.DataFrame(
        {
            "cat": pd.Categorical.from_codes(codes, ["T cell", "B cell", "NK", "é"]),
            "ordered": pd.Categorical.from_codes(codes, ["low", "mid", "high", "top"], ordered=True),
            "catint": pd.Categorical.from_codes(codes, [5, 1, 3, 2]),
            "catfloat": pd.Categorical.from_codes(codes, [0.5, 1.5, -1.0, 7.0], ordered=True),
            "f4": nan.astype("f4"), "f8": nan, "i1": rng.integers(-3, 4, N).astype("i1"),
            "u8": rng.choice(np.array([0, 3, 2**63 + 1], dtype="u8"), N), "i8": rng.integers(-3, 4, N),
            "flag": rng.random(N) < 0.5, "Int16": integers, "boolean": flags, "string": text, "str": plain,
            "text": rng.choice(np.array(TEXT, dtype=object), N),
        },
        index=[f"c{i}" for i in range(N)],
    )  # fmt: skip
    path = str(tmp_path_factory.mktemp("predicates") / "p.zarr")
    with warnings.catch_warnings(), ad.settings.override(allow_write_nullable_strings=True):
        warnings.simplefilter("ignore")
        ad.AnnData(shape=(N, 2), obs=obs).write_zarr(path, convert_strings_to_categoricals=False)
        # Chunks that no two columns share.
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        del group["obs/text"]
        ad.io.write_elem(group["obs"], "text", obs["text"].to_numpy(object))  # else it were nullable
        for name in ("f4", "i8", "text", "cat/codes"):
            old = group[f"obs/{name}"]
            value, attrs, dtype = old[...], dict(old.attrs), old.metadata.data_type
            del group[f"obs/{name}"]
            new = group.create_array(f"obs/{name}", shape=value.shape, dtype=dtype, chunks=(int(rng.integers(5, 20)),),
                                     attributes=attrs, config={"write_empty_chunks": True})  # fmt: skip
            new[...] = value
        zarr.consolidate_metadata(path)
        theirs = ad.read_zarr(path)
    return lz.open(path), theirs


COMPARE = ["==", "!=", "<", "<=", ">", ">="]


def apply(op, a, b):
    return {
        "==": lambda: a == b, "!=": lambda: a != b, "<": lambda: a < b, "<=": lambda: a <= b, ">": lambda: a > b,
        ">=": lambda: a >= b,
    }[op]()  # fmt: skip


def values_for(rng, name):
    pools = {
        "cat": ["T cell", "é", "nowhere"], "ordered": ["low", "mid", "top"], "catint": [5, 1, 4, 2.0],
        "catfloat": [0.5, 7.0], "f4": [0.1, 1.5, np.float64(0.1), np.float32(0.1), 3, 0, np.nan, float("inf")],
        "f8": [0.1, 3, 0, -1, np.float32(1.5), np.nan], "i1": [0, -3, 1.0, 0.5, 300, True, np.int64(2)],
        "u8": [0, 3, 2**63 + 1, -1, np.uint64(3)], "i8": [0, 2, 1.0, 0.5, -3, 2**70], "flag": [True, False],
        "Int16": [0, -2, 1.0, 1.5, pd.NA, 100000], "boolean": [True, False, pd.NA],
        "string": ["T cell", "", "zzz", pd.NA], "str": ["T cell", "", "b cell"], "text": ["T cell", "é", "zzz"],
    }  # fmt: skip
    pool = pools[name]
    return pool[rng.integers(len(pool))]


def leaf(rng, names):
    """A condition on a column: a function of the table, and what it says."""
    name = str(rng.choice(names))
    kind = rng.choice(["compare", "compare", "compare", "isin", "isna", "notna", "between", "text", "bool"])
    if kind == "bool":
        name = str(rng.choice(["flag", "boolean"]))
        return (lambda df: df[name]), name
    if kind == "text":
        name = str(rng.choice(["cat", "string", "str", "text"]))
        what = str(rng.choice(["startswith", "endswith", "contains"]))
        pattern = str(rng.choice(["T", "cell", "b c", "é", "", "t.c"]))
        if what == "contains":
            case, regex = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
            return (
                lambda df: df[name].str.contains(pattern, case=case, regex=regex)
            ), f"{name}.contains({pattern!r}, {case}, {regex})"
        return (lambda df: getattr(df[name].str, what)(pattern)), f"{name}.{what}({pattern!r})"
    if kind in {"isna", "notna"}:
        return (lambda df: getattr(df[name], kind)()), f"{name}.{kind}()"
    if kind == "isin":
        values = [values_for(rng, name) for _ in range(rng.integers(0, 4))]
        return (lambda df: df[name].isin(values)), f"{name}.isin({values!r})"
    if kind == "between":
        name = str(rng.choice(["f4", "f8", "i1", "i8", "Int16", "ordered", "text", "str"]))
        low, high = values_for(rng, name), values_for(rng, name)
        inclusive = str(rng.choice(["both", "neither", "left", "right"]))
        return (
            lambda df: df[name].between(low, high, inclusive=inclusive)
        ), f"{name}.between({low!r}, {high!r}, {inclusive})"
    op, value = str(rng.choice(COMPARE)), values_for(rng, name)
    return (lambda df: apply(op, df[name], value)), f"{name} {op} {value!r}"


def tree(rng, names, depth):
    if depth == 0 or rng.random() < 0.4:
        return leaf(rng, names)
    (a, said_a), how = tree(rng, names, depth - 1), rng.choice(["&", "|", "^", "~"])
    if how == "~":
        return (lambda df: ~a(df)), f"~({said_a})"
    b, said_b = tree(rng, names, depth - 1)
    combine = {"&": lambda df: a(df) & b(df), "|": lambda df: a(df) | b(df), "^": lambda df: a(df) ^ b(df)}[
        how
    ]
    return combine, f"({said_a}) {how} ({said_b})"


def test_random(pair, seed):
    ours, theirs = pair
    rng = np.random.default_rng([seed, 7])
    names, done, refused = list(theirs.obs.columns), 0, 0
    wrong = []
    while done + refused < COUNT:
        make, said = tree(rng, names, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                mask = make(theirs.obs)
                expected = theirs.obs_names[
                    mask.astype("boolean").fillna(False).to_numpy(dtype=bool)
                ].tolist()
            except Exception:  # noqa: BLE001 - whatever pandas refuses
                refused += 1
                try:
                    ours.obs_names[make(ours.obs)].to_memory()
                except (TypeError, ValueError):
                    continue
                except Exception as e:  # noqa: BLE001
                    wrong.append((said, "refused by pandas", repr(e)[:200]))
                continue
        done += 1
        try:
            got = ours.obs_names[make(ours.obs)].to_memory().tolist()
        except Exception as e:  # noqa: BLE001 - shown with the condition
            wrong.append((said, repr(e)[:300]))
            continue
        if got != expected:
            wrong.append((said, len(got), len(expected)))
    assert not wrong, f"{len(wrong)} of {done}: " + "\n".join(map(str, wrong[:20]))
    assert done > COUNT // 2


def test_of_a_view(pair):
    ours, theirs = pair
    v, w = ours[10:50:3], theirs[10:50:3]
    assert v[v.obs["i8"] > 0].obs_names.to_memory().tolist() == w[w.obs["i8"] > 0].obs_names.tolist()
    with pytest.raises(IndexError):
        v[ours.obs["i8"] > 0]
    with pytest.raises(IndexError):
        ours[:, ours.obs["i8"] > 0]


def test_names(pair):
    ours, theirs = pair
    got = ours[ours.obs_names.isin(["c3", "c9", "nobody"])]
    assert got.shape == (None, 2)
    assert got.resolve().shape == (2, 2)
    assert got.obs_names.to_memory().tolist() == ["c3", "c9"]
    assert (
        len(ours[ours.obs_names.str.startswith("c1")].resolve())
        == theirs.obs_names.str.startswith("c1").sum()
    )


def test_a_boolean_column_is_a_condition(pair):
    ours, theirs = pair
    for name in ("flag", "boolean"):
        expected = theirs.obs_names[theirs.obs[name].fillna(False).to_numpy(bool)].tolist()
        assert ours[ours.obs[name]].obs_names.to_memory().tolist() == expected


def test_truth_is_refused(pair):
    ours, _ = pair
    p = ours.obs["i8"] > 0
    with pytest.raises(TypeError, match="&"):
        bool(p)
    with pytest.raises(TypeError, match="&"):
        p and p
    with pytest.raises(TypeError):
        bool(ours.obs["flag"])


def test_wrong_kinds(pair):
    ours, _ = pair
    with pytest.raises(TypeError, match="isin"):
        ours.obs["i8"] == [1, 2]  # noqa: B015
    with pytest.raises(TypeError):
        ours.obs["i8"].isin("text")
    with pytest.raises(TypeError):
        (ours.obs["i8"] > 0) & 1
    with pytest.raises(TypeError):
        ours[ours.obs["cat"] < "T cell"].to_memory()


def test_reads_only_its_columns(pair):
    ours, _ = pair
    with lz.measure() as m:
        v = ours[(ours.obs["cat"] == "T cell") & (ours.obs["i8"] > 0)]
        repr(v)
        assert m.report.requests == 0
        plan = v.obs_names.plan()
    text = str(plan)
    assert "obs/cat" in text
    assert "obs/i8" in text
    assert "obs/f8" not in text


def test_pickled(pair):
    ours, _ = pair
    v = pickle.loads(pickle.dumps(ours[ours.obs["i8"] > 0]))
    assert v.obs_names.to_memory().tolist() == ours[ours.obs["i8"] > 0].obs_names.to_memory().tolist()
    again, p = pickle.loads(pickle.dumps((ours, ours.obs["i8"] > 0)))
    assert again[p].resolve().shape == ours[ours.obs["i8"] > 0].resolve().shape
