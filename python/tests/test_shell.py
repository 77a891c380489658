"""What the `lazarr` command writes is what scipy, numpy, pandas and pyarrow read; its queries answer as pandas' do.

The command is built by cargo, or named by LAZARR_COMMAND.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.ipc
import pytest
import scipy.sparse as sp

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("LAZARR_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")


def _command() -> str:
    if named := os.environ.get("LAZARR_COMMAND"):
        return named
    if shutil.which("cargo") is None or not (ROOT / "Cargo.toml").is_file():
        pytest.skip("there is no cargo to build the command; set LAZARR_COMMAND")
    line = ["cargo", "build", "--quiet", "-p", "lazarr-cli", "--message-format=json"]
    built = subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = (json.loads(text) for text in built.stdout.splitlines())
    return next(m["executable"] for m in messages if m.get("executable"))


@pytest.fixture(scope="module")
def run():
    command = _command()

    def run(*args: object, code: int = 0) -> str:
        line = [command, *map(str, args)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def adata():
    rng = np.random.default_rng(5)
    n, m = 500, 60
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(rng.choice(["T cell", "B cell", "NK", None], n)),
            "stage": pd.Categorical(rng.choice(["a", "b", "c"], n), list("abc"), ordered=True),
            "n_genes": rng.integers(0, 1000, n),
            "score": rng.choice([0.5, -1.25, np.nan, 3.0], n),
            "flag": rng.random(n) < 0.5,
            "known": pd.array(rng.choice([1, 2, None], n), dtype="Int64"),
            "note": rng.choice(["x,y", 'a "b"', "é", ""], n),
            "n-odd name": rng.integers(0, 5, n),
        },
        index=[f"c{i}" for i in range(n)],
    )
    x = sp.random(n, m, 0.2, "csr", "f4", random_state=1)
    var = pd.DataFrame(index=[f"g{i}" for i in range(m)])
    layers = {"csc": x.tocsc(), "dense": x.toarray()}
    return ad.AnnData(x, obs, var, layers=layers, obsm={"X_pca": rng.normal(size=(n, 4))})


@pytest.fixture(scope="module")
def store(adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("shell") / "s.zarr"
    with ad.settings.override(allow_write_nullable_strings=True):
        adata.copy().write_zarr(path, convert_strings_to_categoricals=False)
    return path


@pytest.mark.parametrize("name", ["X", "layers/csc"])
def test_sparse_is_read_by_scipy(run, adata, store, tmp_path, name):
    run("get", store, name, "-o", tmp_path / "x.npz")
    found = sp.load_npz(tmp_path / "x.npz")
    assert found.format == ("csr" if name == "X" else "csc")
    assert found.dtype == np.float32
    assert found.has_canonical_format
    assert (found != adata.X).nnz == 0
    run("get", store, name, "--obs", "::-3", "--var", "@g5,g1", "-o", tmp_path / "part.npz")
    part = sp.load_npz(tmp_path / "part.npz")
    np.testing.assert_array_equal(part.toarray(), adata[::-3, ["g5", "g1"]].X.toarray())


def test_dense_is_read_by_numpy(run, adata, store, tmp_path):
    run("get", store, "obsm/X_pca", "-o", tmp_path / "pca.npy", "--query", "n_genes > 500")
    expected = adata[adata.obs["n_genes"] > 500].obsm["X_pca"]
    np.testing.assert_array_equal(np.load(tmp_path / "pca.npy"), expected)
    run("get", store, "layers/dense", "-o", tmp_path / "d.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "d.npz")["dense"], adata.layers["dense"])


def test_tables_are_read_by_pandas_and_pyarrow(run, adata, store, tmp_path):
    text = run("get", store, "obs", "-o", "-")
    found = pd.read_csv(io.StringIO(text), index_col=0, keep_default_na=False, na_values={"score": ""})
    assert list(found.index) == list(adata.obs_names)
    assert list(found["note"]) == list(adata.obs["note"])
    np.testing.assert_array_equal(found["score"], adata.obs["score"])
    run("get", store, "obs", "-o", tmp_path / "obs.arrow")
    with pyarrow.ipc.open_file(tmp_path / "obs.arrow") as file:
        table = file.read_all()
    frame = table.to_pandas().set_index("_index")
    for name in adata.obs:
        got, wanted = frame[name], adata.obs[name]
        np.testing.assert_array_equal(got.isna(), wanted.isna(), err_msg=name)
        known = ~wanted.isna().to_numpy()
        assert list(got[known].astype(str)) == list(wanted[known].astype(str)) or name == "known"
        if name == "known":
            assert [int(v) for v in got[known]] == [int(v) for v in wanted[known]]


QUERIES = [
    "cell_type == 'T cell'",
    "cell_type != 'T cell'",
    "cell_type in ['T cell', 'NK'] and n_genes > 500",
    "cell_type not in ['T cell', 'NK'] or n_genes <= 20",
    "not n_genes > 500",
    "200 < n_genes <= 800",
    "500 >= n_genes",
    "flag",
    "~flag & score > 0",
    "flag | score < 0 & n_genes < 100",
    "(flag | score < 0) & n_genes < 100",
    "not flag and not (score == 0.5 or score == 3)",
    "stage >= 'b'",
    "score != 0.5",
    "cell_type.isna()",
    "score.notna() and cell_type.notna()",
    "known == 1",
    "`n-odd name` == 3",
    "index in ['c3', 'c400']",
    "note == 'x,y'",
    "cell_type == ['T cell', 'B cell']",
    "n_genes.between(10, 20)",
    "note.str.contains('b')",
]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_answer_as_pandas(run, adata, store, query):
    obs = adata.obs
    found = json.loads(run("obs", store, "n_genes", "--all", "--json", "--query", query))
    expected = list(obs.query(query, engine="python").index)
    assert 0 < len(expected) < len(obs)
    assert [row[0] for row in found["rows"]] == expected
    assert (found["found"], found["of"]) == (len(expected), len(obs))


@pytest.mark.parametrize("column", ["cell_type", "stage", "n_genes", "score", "flag", "known", "note"])
def test_value_counts_are_those_of_pandas(run, adata, store, column):
    found = json.loads(run("obs", store, "--value-counts", column, "--query", "n_genes > 300", "--json"))
    part = adata.obs.query("n_genes > 300")[column]
    expected = {str(k): int(v) for k, v in part.value_counts(dropna=True).items()}
    assert {str(c["value"]): c["count"] for c in found["counts"]} == expected
    assert (found["missing"], found["rows"]) == (int(part.isna().sum()), len(part))


def test_a_check_finds_what_was_broken(run, adata, store, tmp_path):
    assert json.loads(run("check", store, "--deep", "--json"))["findings"] == []
    broken = tmp_path / "broken.zarr"
    shutil.copytree(store, broken)
    chunk = next(p for p in (broken / "X" / "data" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-7])
    found = json.loads(run("check", broken, "--deep", "--json", code=1))
    assert {(f["severity"], f["element"]) for f in found["findings"]} == {("error", "X/data")}


def _anndatas():
    if not CORPUS.is_dir():
        reason = f"there is no corpus at {CORPUS}; set LAZARR_CORPUS"
        return [pytest.param("", marks=pytest.mark.skip(reason=reason))]
    items = json.loads((CORPUS / "manifest.json").read_text())
    names = [i["name"] for i in items if i["name"].endswith((".zarr", ".zarr.zip"))]
    return [n for n in names if "spatialdata" not in n]  # these hold more than AnnData


@pytest.mark.parametrize("name", _anndatas())
def test_real_stores_of_every_age_are_well(run, name):
    found = json.loads(run("check", CORPUS / "stores" / name, "--deep", "--json"))
    assert found["well"]
    assert found["arrays"] > 0
    assert {f["code"] for f in found["findings"]} <= {"unconsolidated"}
