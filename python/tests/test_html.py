"""What a notebook shows: sections that fold, everything escaped, no script, no chunk read; plans as pictures."""

from __future__ import annotations

import pickle
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from counts import adata_of, write

import lazarr as lz

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Checks that what is opened is closed, and keeps the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], set(), ""
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag != "rect":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    a = adata_of(np.random.default_rng(4), 700, 90)
    a.obs["<script>alert(1)"] = 1.0
    a.uns["<b>&"] = "x"
    return write(a, tmp_path_factory.mktemp("html") / "s.zarr", inner=512, shard=4096)


def test_sections_fold_and_nothing_is_read(store):
    lazy = lz.open(store)
    objects = [
        lazy, lazy[:5, :3], lazy.X, lazy.obs, lazy.obs["batch"], lazy.obsm, lazy.layers["dense"], lazy.raw, lazy.uns,
        lazy.uns["title"], lazy.T, lazy[lazy.obs["batch"] == "a"],
    ]  # fmt: skip
    with lz.measure() as seen:
        pages = [Page(x._repr_html_()) for x in objects]
    assert seen.report.requests == 0
    for page in pages:
        assert not page.tags & {"script", "b"}
    whole = pages[0]
    assert "on disk" in whole.text
    assert "not known" not in pages[2].text
    assert "details" in whole.tags
    for text in (
        "700 × 90",
        "X/indices",
        "512",
        "4,096",
        "zstd",
        "<script>alert(1)",
        "cell_type",
        "raw",
    ):
        assert text in whole.text, text
    assert "selected" in pages[1].text


def test_a_plan_is_a_picture(store):
    lazy = lz.open(store)
    plan = lazy[100:140].X.plan(resolve=True)
    root = ET.fromstring(plan.svg())  # noqa: S314 - made here
    assert root.tag == f"{SVG}svg"
    names = {e.tag.removeprefix(SVG) for e in root.iter()}
    assert names == {"svg", "title", "text", "rect"}
    filled = [e for e in root.iter(f"{SVG}rect") if e.get("fill") == "#2f7ebc" and float(e.get("height")) > 5]
    assert len(filled) >= 2
    texts = " ".join(e.text for e in root.iter(f"{SVG}text"))
    assert f"{plan.requests.value} requests" in texts
    assert pickle.loads(pickle.dumps(plan)).svg() == plan.svg()
    page = Page(plan._repr_html_())
    assert "svg" in page.tags
    assert "script" not in page.tags
    evil = lazy.obs["<script>alert(1)"].plan()
    assert "<script" not in evil._repr_html_()
    assert "which ones" in lazy[5:9].X.plan().svg()
