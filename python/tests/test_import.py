"""What `import lazarr` brings, and how long it takes."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import sys, time, json
import numpy
start = time.perf_counter()
import lazarr
seconds = time.perf_counter() - start
heavy = [m for m in ("scipy", "pandas", "anndata", "pyarrow", "awkward", "zarr", "dask") if m in sys.modules]
print(json.dumps({"seconds": seconds, "heavy": heavy, "missing": [n for n in lazarr.__all__ if not hasattr(lazarr, n)]}))
"""


def run() -> dict:
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def test_import_is_light():
    results = [run() for _ in range(5)]
    assert all(r["heavy"] == [] and r["missing"] == [] for r in results)
    # The best of five: a busy machine is not what is tested.
    assert min(r["seconds"] for r in results) < 0.05


def test_missing_packages_say_what_to_install(tmp_path):
    import warnings

    import anndata as ad
    import numpy as np
    import scipy.sparse as sp

    path = tmp_path / "a.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad.AnnData(sp.csr_matrix(np.eye(3, dtype="f4")), obsm={"X_pca": np.zeros((3, 2))}).write_zarr(path)
    code = f"""
import sys
for name in ("scipy", "scipy.sparse", "pandas", "anndata", "pyarrow"):
    sys.modules[name] = None
import lazarr as lz, numpy as np
a = lz.open({str(path)!r})
repr(a), a.plan(), a.obs, a[:2].X
assert np.asarray(a.obsm["X_pca"]).shape == (3, 2)
for what, text in ((a.X, "lazarr[scipy]"), (a.obs, "lazarr[pandas]"), (a, "lazarr[anndata]")):
    try:
        what.to_memory()
    except ImportError as e:
        assert "pip install" in str(e) and text in str(e), e
    else:
        raise SystemExit(f"{{what}} was read without its package")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
