"""Makes predicates.json: what pandas answers, for columns as anndata reads them.

Run with anndata 0.13, pandas 3 (with pyarrow), numpy 2 and zarr 3 installed:  python make_predicates.py
The columns are written with anndata, read back with anndata, and asked random questions. Each case is
[expression, answer]: one letter a row (T, F, N for NA), or "E" where pandas raises a TypeError or AttributeError.
"""

import contextlib
import json
import random
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem, write_elem

warnings.filterwarnings("ignore")
rng = random.Random(1)
N = 11
NAN = float("nan")
WORDS = ["", "a", "b", "ab", "B cell", "T cell", "É", "é x", "ß", "a.c", "CD4+ T", "cd8", "日本", "z\n", "12"]


def ints(dtype):
    info = np.iinfo(dtype)
    near = [0, 1, 2, 3, 100, info.max, info.max - 1, info.min, info.min + 1]
    big = [x for x in (2**53, 2**53 + 1, 2**53 - 1, 255, 256, -1) if info.min <= x <= info.max]
    values = (near + big + [1, 2, 3] * 4)[: 9 + len(big) + 3]
    rng.shuffle(values)
    return [0, 1] + values[: N - 2]


FLOATS = [0.0, -0.0, 1.0, 0.1, NAN, float("inf"), -float("inf"), 2.5, 100.0, NAN, -3.0]
WIDE = [0.0, 1.0, 0.1, NAN, float("inf"), 2.0**53, 2.0**53 + 2, 1e300, -2.5, 0.30000000000000004, float(2**63)]


def strings(n, missing=False):
    out = [rng.choice(WORDS) for _ in range(n)]
    if missing:
        out[1] = out[6] = None
    return out


def nullable(values):
    values = list(values)
    values[0] = values[5] = None
    return values


def categorical(values, categories, ordered=False):
    return pd.Categorical(values, categories=categories, ordered=ordered)


def pick(categories):
    return [rng.choice(categories) for _ in range(N - 2)] + [None, categories[0]]


columns, kinds, values = {}, {}, {}


def add(name, kind, column, raw, **more):
    columns[name] = column
    kinds[name] = {"name": name, "kind": kind, "values": [text(x) for x in raw], **more}
    values[name] = [x for x in raw if x is not None]


def text(x):
    if x is None:
        return None
    if isinstance(x, bool | str):
        return x
    return repr(float(x)) if isinstance(x, float | np.floating) else str(int(x))


for t in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
    v = ints(t)
    add(t, "numeric", np.array(v, dtype=t), v, dtype=t)
for t, v in [("f2", FLOATS), ("f4", FLOATS), ("f8", WIDE)]:
    v = np.array(v, dtype=t)
    add(t, "numeric", v, [float(x) for x in v], dtype=t)
v = [True, False, True, True, False, False, True, False, True, True, False]
add("b", "bool", np.array(v), v)
v = WORDS[:N]
add("plain", "strings", np.array(v, dtype=object), v)
for name, na in [("str_nan", np.nan), ("str_na", pd.NA)]:
    v = strings(N, missing=True)
    add(name, "nullable_string", pd.array(v, dtype=pd.StringDtype(na_value=na)), v, nan=na is not pd.NA)
for t, p in [("i1", "Int8"), ("i4", "Int32"), ("i8", "Int64"), ("u1", "UInt8"), ("u8", "UInt64")]:
    v = nullable(ints(t))
    add(p, "nullable_integer", pd.array(v, dtype=p), v, dtype=t)
v = nullable([True, False, True, False, False, True, True, False, True, False, True])
add("boolean", "nullable_boolean", pd.array(v, dtype="boolean"), v)
for name, cats in [
    ("c_str", ["T cell", "B cell", "a", "É", "cd8"]),
    ("c_int", [3, 1, 2, -7]),
    ("c_uint", [3, 1, 200]),
    ("c_float", [2.5, 1.0, -0.5]),
    ("c_bool", [True, False]),
    ("c_na", ["T cell", "B cell", "ab"]),
]:
    for ordered in [False, True]:
        if ordered and name in ("c_na", "c_uint"):
            continue
        v = pick(cats)
        dtype = "uint8" if name == "c_uint" else None
        index = pd.Index(cats, dtype=pd.StringDtype(na_value=pd.NA) if name == "c_na" else dtype)
        key = name + ("_ordered" if ordered else "")
        codes = [-1 if x is None else cats.index(x) for x in v]
        add(key, "categorical", pd.Categorical.from_codes(codes, categories=index, ordered=ordered), v,
            categories=[text(x) for x in cats], ctype=name[2:], ordered=ordered)
v = ["2020-01-01", "NaT", "1970-01-01", "1960-05-05", "NaT"] + ["2021-01-01"] * (N - 5)
add("time", "time", np.array(v, dtype="datetime64[ns]"), [int(x) for x in np.array(v, dtype="datetime64[ns]").view("i8")])
names = ["c0", "a1", "T cell", "É", "z", "B", "b", "ab", "日本", "12", ""]

with ad.settings.override(allow_write_nullable_strings=True):
    group = zarr.group(store=zarr.storage.MemoryStore())
    write_elem(group, "obs", pd.DataFrame(index=pd.Index(names)))
    for key, column in columns.items():
        write_elem(group["obs"], key, column)
    # As other writers may store them: categories that are nullable strings.
    write_elem(group["obs/c_na"], "categories", pd.array(["T cell", "B cell", "ab"], dtype=pd.StringDtype(na_value=pd.NA)))
    write_elem(group["obs"], "_index", np.array(names, dtype=object))
    group["obs"].attrs["column-order"] = list(columns)
    df = read_elem(group["obs"])
series = {c: df[c] for c in columns} | {"names": df.index}
kinds["names"] = {"name": "names", "kind": "strings", "values": names}
values["names"] = names
assert str(df.index.dtype) == "str" and df["plain"].dtype == object
assert df["c_str"].cat.categories.dtype == "str" and df["c_na"].cat.categories.dtype.na_value is pd.NA

OPS = ["eq", "ne", "lt", "le", "gt", "ge"]


def lit(x):
    """A literal in the file."""
    if x is None:
        return ["n"]
    if x is pd.NA:
        return ["na"]
    if isinstance(x, bool | str):
        return x
    if isinstance(x, np.float64):
        return ["d", repr(float(x))]
    return ["f", repr(x)] if isinstance(x, float) else ["i", str(x)]


ODD = [None, pd.NA, NAN, True, False, 0, 1, -1, 2, 256, 1.0, 0.1, np.float64(0.1), 2.5, np.float64(2.5), "a", "", "T cell",
       2**53 + 1, float(2**53), 70000, 1e39, float("inf"), -float("inf"), 2**63, 3.5e-8]


def literal(name, like=0.6):
    own = values[name]
    if own and rng.random() < like:
        x = rng.choice(own)
        if isinstance(x, float | int) and not isinstance(x, bool):
            x = rng.choice([x, x, float(x), np.float64(x), x + 1, x - 1]) if abs(x) < 1e18 else rng.choice([x, float(x)])
        return x
    return rng.choice(ODD)


PATTERNS = ["a", "cell", "CELL", "^T", "l$", "[AB]", "[a-c]", ".", "a.c", "\\d", "é", "É", "", "(B|T) cell", "\\+", "[.]",
            "[]a]", "[^ ]", "^$", "ß", "SS", "本$", "\\s", "[[]", "x*", "(?i)cd"]


def leaf(name):
    kind = kinds[name]["kind"]
    wordy = kind in ("strings", "nullable_string") or kinds[name].get("ctype") in ("str", "na")
    roll = rng.random()
    if roll < 0.06:
        return [rng.choice(["isna", "notna"]), name]
    if roll < 0.1 or (kind in ("bool", "nullable_boolean") and roll < 0.2):
        return ["col", name]
    if roll < 0.35 and (wordy or roll < 0.12):
        what = rng.choice(["sw", "ew", "ct", "ct", "ct"])
        if what == "ct":
            regex = rng.random() < 0.6
            return ["ct", name, rng.choice(PATTERNS if regex else WORDS + PATTERNS[:4]), regex, rng.random() < 0.6]
        whole = [x for x in values[name] if isinstance(x, str)] or WORDS
        part = [rng.choice(whole) for _ in range(rng.choice([1, 1, 2, 3]))]
        return [what, name, [x[:1] if what == "sw" else x[-1:] for x in part]]
    if roll < 0.6:
        return ["isin", name, [lit(literal(name)) for _ in range(rng.choice([0, 1, 1, 2, 3, 4]))]]
    if roll < 0.7:
        return ["between", name, lit(literal(name, 0.9)), lit(literal(name, 0.9)),
                rng.choice(["both", "neither", "left", "right"])]
    return ["cmp", name, rng.choice(OPS), lit(literal(name))]


def value(x):
    if not isinstance(x, list):
        return x
    match x[0]:
        case "n":
            return None
        case "na":
            return pd.NA
        case "i":
            return int(x[1])
        case "f":
            return float(x[1])
        case _:
            return np.float64(x[1])


def ask(e):
    """pandas' answer, as a Series."""
    if e[0] in ("and", "or", "xor"):
        a, b = ask(e[1]), ask(e[2])
        return a & b if e[0] == "and" else a | b if e[0] == "or" else a ^ b
    if e[0] == "not":
        return ~ask(e[1])
    s = series[e[1]]
    match e[0]:
        case "col":
            if s.dtype not in (np.dtype(bool), pd.BooleanDtype()):
                raise TypeError("not a mask")
            out = s
        case "cmp":
            out = getattr(s, f"__{e[2]}__")(value(e[3])) if e[1] != "names" else eval_index(s, e[2], value(e[3]))
        case "isin":
            out = s.isin([value(x) for x in e[2]])
        case "isna":
            out = s.isna()
        case "notna":
            out = s.notna()
        case "between":
            out = pd.Series(s).between(value(e[2]), value(e[3]), inclusive=e[4])
        case "sw":
            out = s.str.startswith(tuple(e[2]) if len(e[2]) != 1 else e[2][0])
        case "ew":
            out = s.str.endswith(tuple(e[2]) if len(e[2]) != 1 else e[2][0])
        case "ct":
            out = s.str.contains(e[2], regex=e[3], case=e[4])
    return pd.Series(getattr(out, "array", out), index=range(N))


def eval_index(s, op, x):
    import operator

    return getattr(operator, op)(s, x)


def letters(s):
    assert s.dtype == bool or str(s.dtype) in ("boolean", "bool[pyarrow]"), s.dtype
    return "".join("N" if x is pd.NA else "T" if x else "F" for x in s)


cases, seen = [], set()


def case(e):
    if e is None or (key := json.dumps(e)) in seen:
        return
    try:
        answer = letters(ask(e))
    except OverflowError:
        return  # beyond 64 bits numpy and pyarrow give up on some types; lazarr answers by value
    except (TypeError, AttributeError):
        if e[0] in ("and", "or", "xor", "not") or e[:2] == ["isin", "f2"]:
            return  # pandas has no hash table of float16, and does not join masks of all its types
        answer = "E"
    seen.add(key)
    cases.append([e, answer])


def tree(depth):
    roll = rng.random()
    if depth == 0 or roll < 0.2:
        for _ in range(20):
            e = leaf(rng.choice(list(series)))
            with contextlib.suppress(TypeError, AttributeError, OverflowError):
                letters(ask(e))
                return e
    if roll < 0.4:
        return ["not", tree(depth - 1)]
    return [rng.choice(["and", "or", "xor"]), tree(depth - 1), tree(depth - 1)]


for name in series:
    case(["isna", name])
    case(["notna", name])
    case(["col", name])
    if kinds[name]["kind"] == "time":
        continue
    for x in ODD:
        for op in ("eq", "ne", "lt"):
            if rng.random() < 0.4:
                case(["cmp", name, op, lit(x)])
        if rng.random() < 0.5:
            case(["isin", name, [lit(x)]])
for _ in range(2200):
    name = rng.choice([c for c in series if kinds[c]["kind"] != "time"])
    case(leaf(name))
series.pop("time")
for _ in range(500):
    case(tree(rng.choice([1, 2, 3])))

head = json.dumps({"pandas": pd.__version__, "anndata": ad.__version__})[1:-1]
with Path(__file__).with_name("predicates.json").open("w", encoding="utf-8") as f:
    dump = lambda x: json.dumps(x, ensure_ascii=False, separators=(",", ":"))
    f.write("{" + head + ',"columns":[\n' + ",\n".join(dump(k) for k in kinds.values()) + '],\n"cases":[\n')
    f.write(",\n".join(dump(c) for c in cases) + "]}\n")
print(len(cases), "cases")
