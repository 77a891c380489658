"""A web server of files: what a plain server does, counted and delayed where a test asks for it."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time
import urllib.parse
from pathlib import Path


class _Handler(http.server.BaseHTTPRequestHandler):
    """Files with ranges and ETags; counts requests, and may wait or hang."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 20  # head and body in one packet: a delayed acknowledgement between them takes 40 ms

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        server = self.server
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.asked.append((self.command, path, query, headers))
        if server.hang.is_set():
            server.stop.wait(30)
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(server.delay)
        with server.lock:
            server.now -= 1
        file = Path(server.root, urllib.parse.unquote(path).lstrip("/"))
        if not file.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        total = file.stat().st_size
        tag = f'"{total}-{file.stat().st_mtime_ns}"'
        if headers.get("if-none-match") == tag:
            self.send_response(304)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        a, b = 0, total
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked and total:
            first, last = asked.groups()
            a = int(first) if first else max(total - int(last), 0)
            b = min(int(last) + 1, total) if first and last else total
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {a}-{b - 1}/{total}")
        else:
            self.send_response(200)
        with file.open("rb") as opened:
            opened.seek(a)
            body = opened.read(b - a)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            with contextlib.suppress(OSError):
                self.wfile.write(body)


class Files:
    """A web server of the files below a directory."""

    def __init__(self, root: Path) -> None:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.root = root
        self.server.asked = []
        self.server.delay = 0.0
        # Requests that are answered at the same time, and the most of them so far.
        self.server.lock = threading.Lock()
        self.server.now = self.server.most = 0
        self.server.hang = threading.Event()
        self.server.stop = threading.Event()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def taken(self) -> list:
        asked, self.server.asked = self.server.asked, []
        return asked

    def close(self) -> None:
        self.server.stop.set()
        self.server.shutdown()
        self.server.server_close()
