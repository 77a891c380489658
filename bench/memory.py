#!/usr/bin/env python3
"""What reading takes in memory, as the system measures it: `memory.py cases|limits|streams|small`.

`cases` collects many selections of many stores, each in a process of its own (forked from one that has
scipy, pandas and anndata imported, after a small read of the same kind), and compares the growth of the
process with the size of the result and with the plan. `limits` and `streams` run workloads under limits, as
forked, without a small read before. `small` is a fixed share of all of them for the test suite.
"""

from __future__ import annotations

import os
import random
import re
import sys
from pathlib import Path
from typing import Any

from memory_cell import SEED, forked, imported
from memory_stores import LAYOUTS, build, stores

HERE = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("LAZARR_MEMORY_DATA", HERE / "data" / "memory"))
MB = 1 << 20


# ── cases ──

SPARSE = {
    "all": "a.X",
    "first tenth": "a.X[: n // 10]",
    "a range": "a.X[n // 3 : n // 2]",
    "random rows": "a.X[np.sort(rng.choice(n, n // 20, replace=False))]",
    "unsorted, repeats": "a.X[rng.integers(0, n, n // 20)]",
    "a mask": "a.X[rng.random(n) < 0.3]",
    "a step": "a.X[::3]",
    "backwards": "a.X[: n // 4][::-1]",
    "columns": "a[:, np.sort(rng.choice(m, 40, replace=False))].X",
    "rows, columns": "a[: n // 4, : m // 4].X",
}
DENSE = {
    "dense": "a.obsm['dense']",
    "dense rows": "a.obsm['dense'][n // 5 : n // 2]",
    "dense random rows": "a.obsm['dense'][np.sort(rng.choice(n, n // 10, replace=False))]",
    "dense mask": "a.obsm['dense'][rng.random(n) < 0.4]",
    "bytes": "a.obsm['bytes']",
    "bytes step": "a.obsm['bytes'][::2]",
    "bytes, a mask": "a.obsm['bytes'][rng.random(n) < 0.7]",
    "bytes, unsorted": "a.obsm['bytes'][rng.integers(0, n, n // 2)]",
    "pca": "a.obsm['X_pca']",
    "pca columns": "a.obsm['X_pca'][:, :10]",
    "pca unsorted": "a.obsm['X_pca'][rng.integers(0, n, n)]",
}
TABLES = {
    "obs": "a.obs",
    "obs rows": "a.obs[: n // 2]",
    "numbers": "a.obs['n_counts']",
    "categories": "a.obs['cell_type']",
    "single": "a.obs['pct']",
    "integers, a range": "a.obs['n_genes'][n // 3 : n // 2]",
    "booleans": "a.obs['doublet']",
    "nullable": "a.obs['score']",
    "nullable booleans": "a.obs['keep']",
    "text": "a.obs['barcode']",
}
WHOLE = {
    "object, half": "a[: n // 2]",
    "object, a category": "a[a.obs['cell_type'] == 'type 3']",
}


def cases(paths: dict[str, Path]) -> list[dict[str, Any]]:
    """Every store with every selection, in an order that the seed decides."""
    out = []
    for name, path in paths.items():
        for group in (SPARSE, DENSE, TABLES, WHOLE):
            for label, what in group.items():
                out.append({"name": f"{name}: {label}", "store": str(path), "what": what})
    random.Random(SEED).shuffle(out)
    return out


def judge(case: dict[str, Any]) -> list[str]:
    """What is wrong with a case."""
    if "crashed" in case or "error" in case:
        return [f"ended: {case.get('text', case.get('crashed'))}"]
    wrong = []
    growth, result, plan = case["growth"], case["result"], case["plan"]
    slack = result / 20 + 64 * MB + 2 * case["chunk"] * case["used_threads"]
    if growth - result > slack:
        wrong.append(f"grew {(growth - result) / MB:.0f} MB over the result")
    if growth > plan:
        wrong.append(f"grew {growth / MB:.1f} MB, planned {case['mark']} {plan / MB:.1f}")
    if case["mark"] == "exact" and plan > growth * 1.25 + 16 * MB:
        wrong.append(f"planned {plan / MB:.1f} MB, grew {growth / MB:.1f}")
    return wrong


def run_cases(count: int | None, only: str) -> int:
    """The campaign `memory-cases`."""
    warm = make_warm()
    todo = [c for c in cases(data()) if only in c["name"]][:count]
    done, exact, failed = [], 0, 0
    for case in todo:
        case = forked({**case, "warm": str(warm)})
        wrong = judge(case)
        exact += case.get("mark") == "exact"
        failed += bool(wrong)
        done.append(case)
        figures = " ".join(f"{k} {case.get(k, 0) / MB:7.1f}" for k in ("result", "growth", "plan"))
        print(f"{case['name']:<34} {figures} {case.get('mark')} {'; '.join(wrong)}", flush=True)
    good = [c for c in done if "growth" in c and c["result"] is not None]
    worst = max((c["growth"] - c["result"] for c in good), default=0)
    print(
        "| cases | plan exact | growth over the result, worst | growth / plan, exact cases: lowest, highest |"
    )
    print("|---|---|---|---|")
    ratios = sorted(c["growth"] / c["plan"] for c in good if c.get("mark") == "exact") or [0]
    print(f"| {len(done)} | {exact} | {worst / MB:.0f} MB | {ratios[0]:.2f}, {ratios[-1]:.2f} |")
    enough = count is not None or only or (len(done) >= 200 and exact >= 150)
    print(f"memory-cases: {len(done)} cases, {exact} marked exact, {failed} out of bounds (seed {SEED})")
    return 0 if enough and not failed else 1


# ── limits ──

WORKLOADS = (
    ("cells-zstd", "a.X", "collect"),
    ("cells-lz4", "a.X[np.sort(rng.choice(n, n // 20, replace=False))]", "collect"),
    ("cells-tiny", "a.obsm['dense'][: n // 2]", "collect"),
    ("tall-lz4", "a.obs", "collect"),
    ("tall-plain", "a[a.obs['cell_type'] == 'type 3']", "collect"),
    ("cells-lz4", "a[:, :40].X", "collect"),
    ("columns-lz4", "a.X[: n // 4]", "collect"),
    ("cells-zstd", "a.X", "stream"),
    ("columns-gzip", "a.X", "stream"),
    ("cells-wide", "a.X", "mean_var"),
)
LIMITS = (64, 128, 256, 512, 1024, 4096)


def verdict(out: dict[str, Any], limit: int) -> tuple[str, str]:
    """How a cell ended (`done`, `refused`, `stopped`), and what is wrong with it."""
    if "crashed" in out:
        return "crashed", f"it crashed: {out['crashed']}"
    over = out["growth"] > limit + 16 * MB
    wrong = f"grew {out['growth'] / MB:.0f} MB" if over else ""
    if "error" not in out:
        return "done", wrong
    if out["error"] != "LZ0601":
        return "error", out["text"]
    if "plan_error" in out:  # what planning reads does not fit: it is a part of the read
        return "refused", wrong
    if out["mark"] == "exact" or out["output_mark"] == "exact":
        need = out["plan"] if out["mark"] == "exact" else out["output"]
        if need <= limit:
            return "refused", f"{need / MB:.0f} MB are enough: {out['text']}"
        return "refused", wrong
    return "stopped", wrong


def run_limits(count: int | None, only: str) -> int:
    """The campaign `memory-limits`."""
    paths = data()
    ends: list[str] = []
    rows = []
    failed = 0
    todo = [(w, limit) for w in WORKLOADS for limit in LIMITS if only in f"{w[0]} {w[1]} {w[2]}"]
    for (store, what, verb), limit in todo[:count]:
        out = forked({"store": str(paths[store]), "what": what, "verb": verb, "limit": limit * MB})
        end, wrong = verdict(out, limit * MB)
        failed += bool(wrong)
        ends.append(end)
        text = f"{out.get('growth', 0) / MB:.0f}{'' if end == 'done' else ' ' + end}{' ✗' if wrong else ''}"
        rows.append(text)
        print(f"{store} {what} {verb} at {limit} MB: {text} {wrong}", flush=True)
    print("| growth in MB under a limit of | " + " | ".join(f"{k} MB" for k in LIMITS) + " |")
    print("|---" * (len(LIMITS) + 1) + "|")
    for k, (store, what, verb) in enumerate(WORKLOADS):
        part = rows[k * len(LIMITS) : (k + 1) * len(LIMITS)]
        if part:
            print(f"| {store} `{what}` {verb} | " + " | ".join(part) + " |")
    said = ", ".join(f"{ends.count(end)} {end}" for end in sorted(set(ends)))
    print(f"memory-limits: {said}; {failed} out of bounds (seed {SEED})")
    enough = ends.count("done") >= 40 or count is not None or only
    return 0 if enough and not failed else 1


def run_streams(only: str) -> int:
    """Streams at an eighth of what collecting takes, beside streams without a limit."""
    failed = 0
    print("| X of | verb | limit, MB | growth, MB | time / without a limit | same |")
    print("|---|---|---|---|---|---|")
    for name, path in data().items():
        base = {"store": str(path), "what": "a.X"}
        for verb, check in (("stream", "digest"), ("mean_var", "mean_var")):
            if only not in f"{name} {verb}":
                continue
            whole = forked(base)
            limit = max(whole["growth"] // 8, 2 * whole["chunk"] * whole["used_threads"] + 64 * MB)
            # In turns, so that what else the machine does hits both.
            free, tight = [], []
            for _ in range(4):
                free.append(forked({**base, "verb": verb}))
                tight.append(forked({**base, "verb": verb, "limit": limit}))
            got = [forked({**base, "verb": check, **more}).get("result") for more in ({}, {"limit": limit})]
            # The same, but for how many blocks they are; of csc, blocks of other lengths hold another order.
            kept = slice(1, 3) if "columns" in name else slice(1, None)
            same = None not in got and got[0][kept] == got[1][kept]
            ratio = min(r["seconds"] for r in tight) / min(r["seconds"] for r in free)
            grew = max(r["growth"] for r in tight)
            errors = [r["text"] for r in tight if "error" in r]
            bad = bool(errors) or grew > limit + 16 * MB or ratio > 1.5 or not same
            failed += bad
            sizes = f"{limit / MB:.0f} | {grew / MB:.0f} | {ratio:.2f}"
            print(
                f"| {name} | {verb} | {sizes}{' ✗' if bad else ''} | {same} |",
                *errors[:1],
                flush=True,
            )
    print(f"memory-streams: {failed} out of bounds (seed {SEED})")
    return 1 if failed else 0


# ── both ──


def data() -> dict[str, Path]:
    """The stores of both."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    return stores(FOLDER, SEED)


def make_warm() -> Path:
    """A tiny store with everything in it."""
    path = FOLDER / "warm.zarr"
    if not path.exists():
        build(path, SEED, LAYOUTS["lz4"], 50, 20, 5, "csr")
    return path


def run_small() -> int:
    """A fixed share of all, on one store that is small enough to be made for it."""
    warm = make_warm()
    path = FOLDER / "small.zarr"
    build(path, SEED, LAYOUTS["lz4"], 20_000, 1_000, 100, "csr")
    wrong: list[str] = []
    for group, name in [(SPARSE, k) for k in SPARSE] + [
        (DENSE, "dense mask"),
        (DENSE, "pca"),
        (TABLES, "obs"),
    ]:
        case = forked({"store": str(path), "what": group[name], "warm": str(warm)})
        wrong += [f"{name}: {w}" for w in judge(case)]
        if name == "a range" and case.get("mark") != "exact":
            wrong.append(f"{name}: its peak is {case.get('mark')}, not exact")
    dense = {"store": str(path), "what": "a.obsm['dense']", "warm": str(warm)}
    refused = forked({**dense, "limit": 20 * MB})
    said = re.search(r"memory_limit to (\d+) MB", refused.get("text", ""))
    if said is None or refused["growth"] > 16 * MB:
        wrong.append(
            f"not refused at once: {refused.get('text')}, grew {refused.get('growth', 0) / MB:.0f} MB"
        )
    else:
        enough = forked({**dense, "limit": int(said[1]) * 1_000_000})
        wrong += [f"not enough: {enough['text']}"] if "error" in enough else []
    x = {"store": str(path), "what": "a.X", "warm": str(warm), "verb": "stream"}
    tight = forked({**x, "limit": 8 * MB})
    if "error" in tight or tight["growth"] > 24 * MB:
        wrong.append(f"a stream under 8 MB: {tight.get('text')}, grew {tight.get('growth', 0) / MB:.0f} MB")
    digests = [forked({**x, "verb": "digest", **more}).get("result") for more in ({}, {"limit": 8 * MB})]
    if None in digests or digests[0][1:] != digests[1][1:]:
        wrong.append(f"a stream under a limit brings something else: {digests}")
    print("\n".join(wrong) or "memory-small: all within their bounds")
    return 1 if wrong else 0


def main() -> int:
    """`cases`, `limits`, `streams` or `small`; then how many at most, and a part of their names."""
    imported()
    mode, *rest = sys.argv[1:] or ["cases"]
    count = int(rest[0]) if rest and rest[0].isdigit() else None
    only = rest[-1] if rest and not rest[-1].isdigit() else ""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if mode == "small":
        return run_small()
    if mode == "cases":
        return run_cases(count, only)
    return run_limits(count, only) if mode == "limits" else run_streams(only)


if __name__ == "__main__":
    sys.exit(main())
