"""The examples of docs/remote.md run, in order, against a web server."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import servers

import lazarr as lz

PAGE = Path(__file__).parents[2] / "docs" / "remote.md"


def test_examples_run(tmp_path, capsys):
    adata = ad.AnnData(
        sp.random(200, 40, 0.2, format="csr", dtype="f4", random_state=2),
        obs=pd.DataFrame({"n": np.arange(200)}, index=[f"c{i}" for i in range(200)]),
    )
    with ad.settings.override(zarr_write_format=3), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(tmp_path / "atlas.zarr", chunks=(64, 40))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    server = servers.Files(tmp_path)
    known = {"cache": str(tmp_path / "cache")}
    try:
        for block in blocks:
            code = compile(block.replace("https://example.org", server.url), str(PAGE), "exec")
            exec(code, known)  # noqa: S102 - the page's own
    finally:
        server.close()
    said = capsys.readouterr().out
    assert "(200, 40)" in said
    assert "in the cache on the local disk" in said
    assert "(20, 40)" in said


@pytest.mark.parametrize(
    "word", ["cache_dir", "cache_bytes", "latency", "bandwidth", "slots", "read_timeout"]
)
def test_the_words_of_the_page_are_those_of_open(word):
    assert word in PAGE.read_text(encoding="utf-8")
    assert word in (lz.open.__doc__ or "")
