"""Servers on loopback for the tests of remote stores: started when they are asked for, stopped with the test session."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            msg = f"the server ended with {process.returncode}"
            raise RuntimeError(msg)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    msg = "the server does not listen"
    raise RuntimeError(msg)


def put(url: str, headers: dict[str, str] | None = None) -> None:
    """A PUT without a body."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    target = address.path + (f"?{address.query}" if address.query else "")
    connection.request("PUT", target, headers={"Content-Length": "0", **(headers or {})})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status >= 300:
        msg = f"PUT: {answer.status} {said[:300]!r}"
        raise RuntimeError(msg)


class _Files(http.server.BaseHTTPRequestHandler):
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
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Files)
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


@contextlib.contextmanager
def nginx(root: Path, scratch: Path):
    """nginx, where it is installed."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: the own server stands for it")
    port = free_port()
    temp = "\n".join(
        f"{kind}_temp_path {scratch}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    config = scratch / "nginx.conf"
    config.write_text(
        f"{user} daemon off; pid {scratch}/pid; error_log {scratch}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temp}\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    process = subprocess.Popen([program, "-c", str(config), "-e", str(scratch / "error.log")])
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def moto():
    """moto's S3."""
    pytest.importorskip("moto", reason="moto is not installed: no S3 server")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def s3s(scratch: Path):
    """Another S3: `s3s-fs` (cargo install s3s-fs --features binary), where it is on the path, or named by LAZARR_S3S."""
    program = os.environ.get("LAZARR_S3S") or shutil.which("s3s-fs")
    if program is None:
        pytest.skip(
            "s3s-fs is not installed (cargo install s3s-fs --features binary, or LAZARR_S3S=…/s3s-fs)"
        )
    port = free_port()
    words = ["--access-key", "key", "--secret-key", "hush", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen([program, *words, str(scratch)], stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def azurite(scratch: Path):
    """Azure's emulator, where `azurite-blob` is on the path, or named by LAZARR_AZURITE."""
    program = os.environ.get("LAZARR_AZURITE") or shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite is not installed (npm install -g azurite, or LAZARR_AZURITE=…/azurite-blob)")
    port = free_port()
    arguments = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(scratch)]
    process = subprocess.Popen(
        [program, *arguments, "--silent", "--skipApiVersionCheck"], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/devstoreaccount1"
    finally:
        process.terminate()
        process.wait(10)
