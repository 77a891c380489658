"""Every Zarr store of the corpus, written anew in each preset, has the digest that it had."""

from __future__ import annotations

import json
import os

import pytest
from stores import as_it_is
from test_corpus import CORPUS, ITEMS, _digest

import lazarr as lz

PRESETS = list(lz.Layout.PRESETS)
ALL = bool(os.environ.get("LAZARR_WRITES"))


@pytest.mark.parametrize(("name", "inner", "truth"), ITEMS)
def test_digest_stays(name, inner, truth, tmp_path):
    digest = _digest()
    expected = json.loads((CORPUS / "truth" / truth).read_text())
    source = lz.open(CORPUS / "stores" / name / inner)
    number = [item.values for item in ITEMS].index((name, inner, truth))
    presets = PRESETS if ALL else [PRESETS[number % 6]]
    for preset in presets:
        for zarr_format in (2, 3) if ALL else (2 + number % 2,):
            out = tmp_path / f"{preset}{zarr_format}.zarr"
            lz.write(source, out, layout=as_it_is(preset, zarr_format), sync=False)
            found = digest.digest(lz.open(out).to_memory())
            assert digest.compare(expected, found, strict_dtype=False) == [], (preset, zarr_format)
