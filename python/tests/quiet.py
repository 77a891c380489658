"""A server that falls silent: what stands between a client and a server, and one day answers no more."""

from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Quiet:
    """Passes on what comes, both ways, until `silent` is set: then it takes all and gives nothing."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self.behind = (parts.hostname, parts.port)
        self.silent = threading.Event()
        self.swallowed = threading.Event()
        """Somebody has asked since, and waits."""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                server = socket.create_connection(self.behind)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(1 << 16):
                if self.silent.is_set():
                    self.swallowed.set()
                else:
                    there.sendall(data)
        if not self.silent.is_set():
            for end in (here, there):
                end.close()

    def close(self) -> None:
        """Takes no more clients."""
        self.socket.close()


PROGRAM = """
import json, sys, time
import numpy as np
import lazarr as lz

url, options = json.loads(sys.stdin.readline())

def blocks():
    yield np.ones((5000, 20))
    print("some", flush=True)
    sys.stdin.readline()
    yield np.ones((5000, 20))

layout = lz.Layout.preset("rows").with_rule("**", shard=None, chunk={"rows": 100})
try:
    lz.write(blocks(), url, overwrite=True, layout=layout, zarr_format=2, storage_options=options)
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""
"""A process that writes two blocks, of which the second waits for a line; it says when it was interrupted."""
