"""The documentation's site: `make docs`."""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE / "_build"

project = "lazarr"
author = "the lazarr developers"
project_copyright = "the lazarr developers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "scanpydoc.definition_list_typed_field",
]
exclude_patterns = ["_build", "inventories/README.md"]
html_theme = "scanpydoc"
html_title = "lazarr"
html_theme_options = {"repository_url": "https://github.com/lazarr/lazarr", "use_repository_button": True}
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Pages link into the repository too, which is beside the site: these go to it.
myst_url_schemes = ("http", "https", "mailto")

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_output_stderr = "remove"
# A picture of a plan is HTML; it needs no script.
nb_mime_priority_overrides = [("*", "text/html", 0)]

napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}

suppress_warnings = ["myst.header"]


def inventories() -> dict[str, tuple[str, str]]:
    """Writes the lists of names as Sphinx reads them: where each package is, and its inventory."""
    found = {}
    place = BUILT / "inventories"
    place.mkdir(parents=True, exist_ok=True)
    for file in sorted((HERE / "inventories").glob("*.txt")):
        address, *names = file.read_text(encoding="utf-8").splitlines()
        lines = [
            f"{name} {role} 1 {page} -\n" for name, role, page in (line.split() for line in names if line)
        ]
        head = f"# Sphinx inventory version 2\n# Project: {file.stem}\n# Version:\n"
        body = zlib.compress("".join(lines).encode())
        inventory = place / f"{file.stem}.inv"
        inventory.write_bytes(
            f"{head}# The remainder of this file is compressed using zlib.\n".encode() + body
        )
        found[file.stem] = (address, str(inventory))
    return found


intersphinx_mapping = inventories()
intersphinx_disabled_reftypes = ["std:*"]


def _rust(app, _error) -> None:  # noqa: ANN001 - Sphinx's own types
    """The Rust reference, where `cargo doc` has made it, beside the pages."""
    made = HERE.parent / "target" / "doc"
    if (
        app.builder.format != "html"
        or not (made / "lazarr").is_dir()
        or not os.environ.get("LAZARR_DOCS_RUST")
    ):
        return
    shutil.copytree(made, Path(app.outdir) / "rust", dirs_exist_ok=True)


def _links(app, docname: str, source: list[str]) -> None:  # noqa: ANN001, ARG001
    """Files of the repository that are no pages are links into it."""
    out = "](" + "../" * (docname.count("/") + 1)
    source[0] = source[0].replace(out, "](https://github.com/lazarr/lazarr/blob/main/")


def setup(app) -> None:  # noqa: ANN001
    """Hooks of the build."""
    app.connect("build-finished", _rust)
    app.connect("source-read", _links)
