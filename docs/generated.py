"""What the notebooks read: a store that is generated, and a web server for it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import os

HERE = Path(__file__).resolve().parent
_kept: list[tempfile.TemporaryDirectory[str]] = []


def atlas(cells: int = 4000, genes: int = 2000) -> str:
    """A store of counts as `make demo` makes it, small; it goes with the process."""
    _kept.append(tempfile.TemporaryDirectory())
    path = Path(_kept[-1].name) / "atlas.zarr"
    words = ["--cells", cells, "--genes", genes, "--density", 0.1, "--out", path]
    command = [sys.executable, HERE.parent / "tools" / "make_store.py", *words]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return str(path)


class _Ranges(SimpleHTTPRequestHandler):
    """Files, and ranges of them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        """Says nothing."""

    def send_head(self) -> BinaryIO | None:  # type: ignore[override]
        """The head of an answer, and the file from where the range begins."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return None
        size = path.stat().st_size
        start, end, status = 0, size, 200
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(size - int(last), 0)
            end = min(int(last) + 1, size) if first and last else size
            status = 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        file = path.open("rb")
        file.seek(start)
        self._left = end - start
        return file

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        """The bytes of the range."""
        outputfile.write(source.read(self._left))


def served(path: str | os.PathLike[str]) -> str:
    """The URL of a store on a server of this process, at a port that the system chooses."""
    where = Path(path)
    handler = partial(_Ranges, directory=str(where.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/{where.name}"
