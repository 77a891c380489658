"""The servers of the tests: two workers never take the same port, and one that does not start says why."""

from __future__ import annotations

import random
import socket
import sys

import pytest
import servers


def test_a_port_is_handed_out_once(monkeypatch):
    port = servers.free_port()
    other = servers.free_port()
    # As if another worker had drawn the same: nothing listens yet, and it is taken all the same.
    monkeypatch.setattr(random, "sample", lambda *_: [port, other, port + 1, port + 2, port + 3])
    assert servers.free_port() not in {port, other}


def test_a_server_is_tried_at_another_port(tmp_path):
    tried = []

    def line(port):
        tried.append(port)
        if len(tried) == 1:
            return [sys.executable, "-c", "raise SystemExit('address already in use')"]
        return [sys.executable, "-m", "http.server", "--bind", servers.HOST, str(port)]

    with servers.running(line, tmp_path / "log") as port:
        assert len(set(tried)) == 2
        assert port == tried[-1]
        socket.create_connection((servers.HOST, port), timeout=5).close()
    with pytest.raises(OSError):  # noqa: PT011
        socket.create_connection((servers.HOST, port), timeout=5)


def test_what_a_server_said_is_told(tmp_path):
    with (
        pytest.raises(RuntimeError, match="no such luck"),
        servers.running(
            lambda _: [sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "log"
        ),
    ):
        pass
