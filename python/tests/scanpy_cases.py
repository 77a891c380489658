"""What people call of scanpy, on an object over Dask: each case is the call, what it leaves behind, and where the call as
it stands does not work, the line of lazarr that makes it work."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

if TYPE_CHECKING:
    from collections.abc import Callable

GENES = ["gene0010", "gene0030", "gene0050", "gene0070"]


@dataclass
class Case:
    """One call. `code` is what the user writes, with `adata`; `result` picks what it left."""

    name: str
    code: str
    result: Callable[[Any, Any], Any]
    store: str = "counts"
    instead: str | None = None
    """The line of lazarr, with `lazy`, that gives an `adata` on which `code` works."""
    why: str = ""
    close: dict[str, float] = field(default_factory=dict)


def of_x(a, _):
    return a.X


def of_genes(a, _):
    return a[:, GENES].X


def picked(*paths):
    """Columns and matrices by path."""

    def pick(a, _):
        out = {}
        for path in paths:
            place, _, name = path.partition("/")
            out[path] = getattr(a, place)[name] if name else getattr(a, place)
        return out

    return pick


def components(a, _):
    """Principal components, whose signs are free."""
    x = np.asarray(a.obsm["X_pca"])
    return {"pca": np.abs(x), "variance": a.uns["pca"]["variance_ratio"]}


def groups(a, _):
    """The scores of the chosen genes in each group: each gene's are its own."""
    found = a.uns["rank_genes_groups"]
    out = {}
    for group in found["names"].dtype.names:
        scores = pd.Series(found["scores"][group], index=found["names"][group])
        out[group] = scores.loc[GENES].to_numpy()
    return out


def returned(_, out):
    return out


def aggregated(_, out):
    return {k: dense(v) for k, v in out.layers.items()} | {"obs": out.obs}


def graph(a, _):
    return {k: a.obsp[k] for k in ("distances", "connectivities")}


def tree(a, _):
    return a.uns["dendrogram_cell_type"]["linkage"]


def image(_, out):
    """The picture as numbers."""
    import matplotlib.pyplot as plt

    figure = plt.gcf()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw", dpi=40)
    plt.close("all")
    return np.frombuffer(buffer.getvalue(), np.uint8)


LOG = "lognorm"
# n_top_genes is where no tie decides: "seurat" scores the genes of a bin of two ±0.7071
HVG = picked("var/highly_variable", "var/means")
CASES = [
    Case("pp.filter_cells", "sc.pp.filter_cells(adata, min_genes=60)", picked("obs/n_genes", "X")),
    Case("pp.filter_genes", "sc.pp.filter_genes(adata, min_cells=100)", picked("var/n_cells", "X")),
    Case("pp.calculate_qc_metrics", 'sc.pp.calculate_qc_metrics(adata, qc_vars=["mito"], inplace=True, percent_top=None)',
         picked("obs", "var")),
    Case("pp.normalize_total", "sc.pp.normalize_total(adata, target_sum=1e4)", of_x),
    Case("pp.log1p", "sc.pp.log1p(adata)", of_x),
    Case("pp.highly_variable_genes, seurat", "sc.pp.highly_variable_genes(adata, n_top_genes=45)", HVG, LOG),
    Case("pp.highly_variable_genes, cell_ranger",
         'sc.pp.highly_variable_genes(adata, n_top_genes=50, flavor="cell_ranger")', HVG, LOG),
    Case("pp.highly_variable_genes, seurat_v3",
         'sc.pp.highly_variable_genes(adata, n_top_genes=50, flavor="seurat_v3")', HVG),
    Case("pp.scale, zero_center=True", "sc.pp.scale(adata)", of_x, LOG),
    Case("pp.scale, zero_center=False", "sc.pp.scale(adata, zero_center=False)", of_x, LOG),
    Case("pp.pca, covariance_eigh", 'sc.pp.pca(adata, n_comps=5, svd_solver="covariance_eigh")', components, LOG, close={"rtol": 1e-2, "atol": 1e-3}),
    Case("pp.pca, arpack", 'sc.pp.pca(adata, n_comps=5, svd_solver="arpack")', components, LOG, close={"rtol": 1e-2, "atol": 1e-3}),
    Case("pp.sample", "sc.pp.sample(adata, fraction=0.5, rng=0)", of_x),
    Case("pp.neighbors", 'sc.pp.neighbors(adata, use_rep="X_pca")', graph, LOG),
    Case("get.aggregate", 'out = sc.get.aggregate(adata, by="cell_type", func=["mean", "sum", "count_nonzero"])',
         aggregated, LOG),
    Case("get.obs_df", 'out = sc.get.obs_df(adata, keys=["cell_type", *GENES])', returned, LOG),
    Case("tl.rank_genes_groups, t-test", 'sc.tl.rank_genes_groups(adata, "cell_type", method="t-test")', groups, LOG),
    Case("tl.rank_genes_groups, wilcoxon", 'sc.tl.rank_genes_groups(adata, "cell_type", method="wilcoxon")', groups, LOG,
         instead='adata = lazy[:, GENES].to_memory(["X", "obs/cell_type"])', why="it ranks in memory, gene by gene"),
    Case("tl.rank_genes_groups, logreg", 'sc.tl.rank_genes_groups(adata, "cell_type", method="logreg")', groups, LOG,
         instead='adata = lazy.to_memory(["X", "obs/cell_type"])', why="scikit-learn takes matrices in memory"),
    Case("tl.score_genes", "sc.tl.score_genes(adata, GENES)", picked("obs/score"), LOG,
         instead='adata = lazy.to_memory(["X"])', why="its mean over genes is not one that Dask has for sparse blocks"),
    Case("pp.regress_out", 'sc.pp.regress_out(adata, ["score"])', of_genes, LOG,
         instead='adata = lazy[:, GENES].to_memory(["X", "obs/score"])', why="it makes the genes dense, in memory"),
    Case("pp.downsample_counts", "sc.pp.downsample_counts(adata, counts_per_cell=100)", of_x,
         instead='adata = lazy.to_memory(["X"])', why="it writes into the matrix, cell by cell"),
    Case("pp.scrublet", "sc.pp.scrublet(adata, n_prin_comps=5, threshold=0.3, random_state=0)", picked("obs/doublet_score"),
         instead='adata = lazy.to_memory(["X"])', why="it simulates doublets from the matrix in memory"),
    Case("tl.dendrogram", 'sc.tl.dendrogram(adata, "cell_type", use_rep="X_pca")', tree, LOG),
    Case("pl.violin", 'sc.pl.violin(adata, GENES[:2], groupby="cell_type", jitter=False, show=False)', image, LOG),
    Case("pl.dotplot", 'sc.pl.dotplot(adata, GENES, groupby="cell_type", show=False)', image, LOG),
    Case("pl.umap", 'sc.pl.umap(adata, color=["cell_type", GENES[0]], show=False)', image, LOG),
]  # fmt: skip


def dense(x):
    if hasattr(x, "compute"):
        x = x.compute()
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def equal(got, wanted, at, close):
    """Raises AssertionError where two results differ."""
    if isinstance(wanted, dict):
        for key in wanted:
            equal(got[key], wanted[key], f"{at}/{key}", close)
    elif isinstance(wanted, pd.DataFrame):
        pd.testing.assert_frame_equal(got, wanted, check_dtype=False, check_categorical=False, **close)
    elif isinstance(wanted, pd.Series):
        pd.testing.assert_series_equal(got, wanted, check_dtype=False, **close)
    else:
        got, wanted = dense(got), dense(wanted)
        assert got.shape == wanted.shape, (at, got.shape, wanted.shape)
        if wanted.dtype.kind in "fc":
            np.testing.assert_allclose(got, wanted, err_msg=at, **({"rtol": 1e-4, "atol": 1e-5} | close))
        else:
            np.testing.assert_array_equal(got, wanted, err_msg=at)


def run(code, **names):
    """Runs a case's code; gives the object that it leaves, and what it returned."""
    import scanpy as sc

    names = {"sc": sc, "np": np, "GENES": GENES, "out": None, **names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)  # noqa: S102 - the cases of this file
    return names["adata"], names["out"]
