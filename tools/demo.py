#!/usr/bin/env python3
"""Open a store, read a little of it five times, and show for each line what it would cost and what it did.

Usage: python tools/demo.py demo.zarr
       python tools/demo.py /path/to/own.zarr --column cell_type --value "T cell" --genes CD3D,CD8A
"""

from __future__ import annotations

import argparse
import gc
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Imported here so that what the process grows by below is the reads', not the imports'.
import anndata  # noqa: F401
import pandas as pd
import scipy.sparse

import lazarr as lz

if TYPE_CHECKING:
    from collections.abc import Callable

RULE = "─" * 100


def indented(thing: object) -> str:
    return textwrap.indent(str(thing).rstrip(), "    ")


def describe(result: object) -> str:
    """One line, or a table's head, of what was loaded."""
    if scipy.sparse.issparse(result):
        return f"{type(result).__name__} {result.shape}, {result.nnz:,} non-zeros, {result.dtype}"
    if isinstance(result, pd.Series | pd.Categorical | pd.Index | pd.api.extensions.ExtensionArray):
        return f"{type(result).__name__} of {len(result)}, {result.dtype}"
    return str(result)


def measured(action: Callable[[], Any]) -> tuple[Any, str]:
    """The result of an action, and what it read and allocated."""
    gc.collect()
    with lz.measure() as m:
        result = action()
    return result, str(m.report)


def show(line: str, make: Callable[[], Any]) -> None:
    """A lazy expression as typed, its plan, then its collection with the actual figures."""
    print(f"{RULE}\n>>> {line}")
    try:
        lazy = make()
        plan = str(lazy.plan())
    except (KeyError, ValueError) as error:
        print(f"    left out, this store has no such thing: {error}\n")
        return
    print("  plan, before anything is read:")
    print(indented(plan))
    result, report = measured(lazy.to_memory)
    print("  read, by .to_memory():")
    print(indented(report))
    print("  result:")
    print(indented(describe(result)) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--column", default="cell_type", help="the obs column to filter by")
    parser.add_argument("--value", default="T cell", help="its value to keep")
    parser.add_argument("--head", default="batch", help="the obs column whose head is shown")
    parser.add_argument("--genes", default="CD3D,CD8A,MS4A1", help="var names, with commas between")
    args = parser.parse_args()
    if not args.store.exists():
        print(f"error: {args.store} is not there", file=sys.stderr)
        return 1
    genes = args.genes.split(",")

    print(f"{RULE}\n>>> import lazarr as lz\n>>> adata = lz.open({str(args.store)!r})")
    adata, report = measured(lambda: lz.open(args.store))
    print("  read:")
    print(indented(report))
    print(f"\n>>> adata\n{indented(adata)}\n")

    show("adata.X[:100, :]", lambda: adata.X[:100, :])
    show(f'adata.obs["{args.head}"][:100]', lambda: adata.obs[args.head][:100])
    show(
        f'adata[adata.obs["{args.column}"] == "{args.value}"]',
        lambda: adata[adata.obs[args.column] == args.value],
    )
    listed = ", ".join(f'"{g}"' for g in genes)
    show(f"adata[:, [{listed}]]", lambda: adata[:, genes])

    print(RULE)
    print(
        "On your own store: .venv/bin/python tools/demo.py /path/to/your.zarr "
        "--column <obs column> --value <value> --genes <GENE1,GENE2>, "
        'or in Python: lz.open("/path/to/your.zarr")'
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
