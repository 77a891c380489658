"""What `import lazarr` brings. How long it takes is measured by `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import sys, json
import numpy
before = set(sys.modules)
import lazarr
more = sorted(set(sys.modules) - before)
heavy = [m for m in ("scipy", "pandas", "anndata", "pyarrow", "awkward", "zarr", "dask") if m in sys.modules]
print(json.dumps({"more": more, "heavy": heavy, "missing": [n for n in lazarr.__all__ if not hasattr(lazarr, n)]}))
"""


def run() -> dict:
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def test_import_is_light():
    result = run()
    assert result["heavy"] == []
    assert result["missing"] == []
    # Its own modules, and little of the standard library that numpy has not brought already.
    others = [m for m in result["more"] if not m.startswith("lazarr")]
    assert len(others) < 20, others


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
