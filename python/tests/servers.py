"""Servers on loopback for the tests of remote stores: started when they are asked for, stopped with the test session.

`tools/servers.sh` installs those that are not Python's; a test of one that is not there is skipped, and says so.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from file_server import Files

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bucket", "Files", "azurite", "bucket", "free_port", "gcs", "moto", "nginx", "s3s", "seaweedfs"]

HOST = "127.0.0.1"
# Where tools/servers.sh puts what it installs.
INSTALLED = Path(__file__).parents[2] / "target" / "servers"
_marks: list[socket.socket] = []


def free_port() -> int:
    """A port for a server that cannot choose one itself.

    It lies below those that the system hands out, and its UDP twin is held as long as this process lives: so another
    worker that asks here gets another.
    """
    for port in random.sample(range(10_000, 32_000), 200):
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind((HOST, port))
            with socket.socket() as probe:
                probe.bind((HOST, port))
        except OSError:
            mark.close()
            continue
        _marks.append(mark)
        return port
    msg = "no port is free"
    raise RuntimeError(msg)


@contextlib.contextmanager
def running(line: Callable[[int], list[str]], log: Path):
    """Starts a server at a port, which is given; at another where it ends before it listens."""
    for tries in (2, 1, 0):
        port = free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(line(port), stdout=out, stderr=out)
        try:
            wait_for(port, process, log)
            break
        except RuntimeError:
            stop(process)
            if not tries:
                raise
    try:
        yield port
    finally:
        stop(process)


def wait_for(port: int, process: subprocess.Popen, log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            msg = f"the server ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}"
            raise RuntimeError(msg)
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    msg = f"the server does not listen: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(msg)


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def put(url: str, headers: dict[str, str] | None = None) -> None:
    """A PUT without a body."""
    send("PUT", url, b"", headers)


def post(url: str, body: bytes) -> None:
    send("POST", url, body, {"Content-Type": "application/octet-stream"})


def send(method: str, url: str, body: bytes, headers: dict[str, str] | None) -> None:
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    target = address.path + (f"?{address.query}" if address.query else "")
    connection.request(method, target, body, {"Content-Length": str(len(body)), **(headers or {})})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    if answer.status >= 300:
        msg = f"{method}: {answer.status} {said[:300]!r}"
        raise RuntimeError(msg)


def program(name: str, variable: str, *places: str) -> str:
    """A server: named by a variable, on the path, or where it was installed for the tests. The test is skipped without."""
    path = os.pathsep.join(
        [os.environ.get("PATH", ""), "/usr/sbin", *(str(INSTALLED / place) for place in places)]
    )
    found = os.environ.get(variable) or shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed (CI=true tools/servers.sh, or {variable}=…/{name})")
    return found


@contextlib.contextmanager
def nginx(root: Path, scratch: Path):
    """nginx over the files of a directory."""
    server = program("nginx", "LAZARR_NGINX")
    temp = "\n".join(
        f"{kind}_temp_path {scratch}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    config = scratch / "nginx.conf"

    def line(port: int) -> list[str]:
        config.write_text(
            f"{user} daemon off; pid {scratch}/pid; error_log {scratch}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off; {temp}\n"
            f"server {{ listen {HOST}:{port}; root {root}; }} }}\n"
        )
        return [server, "-c", str(config), "-e", str(scratch / "error.log")]

    with running(line, scratch / "log") as port:
        yield f"http://{HOST}:{port}"


@dataclass(frozen=True)
class Bucket:
    """An empty bucket of a server."""

    url: str
    """Where lazarr finds it."""
    options: dict[str, Any]
    """What lazarr is told, `storage_options`."""
    environment: dict[str, str]
    """The same, in variables."""
    store: Any
    """The same, by obstore."""


@contextlib.contextmanager
def bucket(kind: str, scratch: Path):
    """A bucket of one of the servers that are written to."""
    kinds = {"moto": moto, "seaweedfs": seaweedfs, "s3s-fs": s3s, "azurite": azurite}
    with kinds[kind](scratch) as found:
        yield found


def s3_bucket(endpoint: str) -> Bucket:
    """A bucket that is made at an S3 server, as soon as that takes values."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from obstore.store import S3Store

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "hush"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    end = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket="bucket")
            client.put_object(Bucket="bucket", Key="first", Body=b"one")
            client.delete_object(Bucket="bucket", Key="first")
            break
        except (BotoCoreError, ClientError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    where = {**keys, "region": "us-east-1", "endpoint": endpoint}
    store = S3Store("bucket", client_options={"allow_http": True}, **where)
    options = {**where, "allow_http": True}
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    return Bucket("s3://bucket", options, environment, store)


@contextlib.contextmanager
def moto(scratch: Path):
    """moto's S3, which knows the languages of many services and keeps all in memory."""
    pytest.importorskip("moto", reason="moto is not installed: no S3 server")

    def line(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]

    with running(line, scratch / "log") as port:
        yield s3_bucket(f"http://{HOST}:{port}")


@contextlib.contextmanager
def seaweedfs(scratch: Path):
    """SeaweedFS: an S3 that keeps large stores in earnest."""
    server = program("weed", "LAZARR_WEED", "python/bin")
    pytest.importorskip("boto3", reason="boto3 is not installed: no bucket can be made")
    identity = {
        "name": "me",
        "credentials": [{"accessKey": "key", "secretKey": "hush"}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    config, data = scratch / "s3.json", scratch / "data"
    config.write_text(json.dumps({"identities": [identity]}))
    data.mkdir()

    def line(port: int) -> list[str]:
        ports = {f"{part}.port.grpc": free_port() for part in ("master", "volume", "filer", "s3")}
        ports |= {f"{part}.port": free_port() for part in ("master", "volume", "filer")}
        words = {
            **ports,
            "dir": data,
            "ip": HOST,
            "ip.bind": HOST,
            "filer": "true",
            "s3": "true",
            "s3.port": port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": config,
            "s3.autoCreateBucket": "false",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "volume.minFreeSpace": 0,
        }
        return [server, "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in words.items())]

    with running(line, scratch / "log") as port:
        yield s3_bucket(f"http://{HOST}:{port}")


@contextlib.contextmanager
def s3s(scratch: Path):
    """s3s-fs: an S3 over a directory."""
    server = program("s3s-fs", "LAZARR_S3S", "bin")
    data = scratch / "data"
    data.mkdir()

    def line(port: int) -> list[str]:
        words = ["--access-key", "key", "--secret-key", "hush", "--host", HOST, "--port", str(port)]
        return [server, *words, str(data)]

    with running(line, scratch / "log") as port:
        yield s3_bucket(f"http://{HOST}:{port}")


# Every Azurite has this account.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def azurite(scratch: Path):
    """Azurite: Azure's own emulator."""
    server = program("azurite-blob", "LAZARR_AZURITE", "node_modules/.bin")
    data = scratch / "data"
    data.mkdir()

    def line(port: int) -> list[str]:
        words = ["--blobHost", HOST, "--blobPort", str(port), "--location", str(data)]
        return [server, *words, "--silent", "--skipApiVersionCheck", "--disableTelemetry"]

    with running(line, scratch / "log") as port:
        from obstore.store import AzureStore

        endpoint = f"http://{HOST}:{port}/{ACCOUNT}"
        create_container(endpoint, "box")
        words = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": endpoint}
        store = AzureStore("box", client_options={"allow_http": True}, **words)
        environment = {f"AZURE_STORAGE_{name.upper()}": value for name, value in words.items()}
        environment["AZURE_ALLOW_HTTP"] = "true"
        yield Bucket("az://box", {**words, "allow_http": True}, environment, store)


def create_container(endpoint: str, name: str) -> None:
    """obstore makes none: a request that is signed by hand."""
    date, version = email.utils.formatdate(usegmt=True), "2021-08-06"
    headers = f"x-ms-date:{date}\nx-ms-version:{version}"
    breaks = "\n" * 12
    text = f"PUT{breaks}{headers}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    mac = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()
    key = f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"
    put(
        f"{endpoint}/{name}?restype=container",
        {"x-ms-date": date, "x-ms-version": version, "Authorization": key},
    )


@contextlib.contextmanager
def gcs(scratch: Path, root: Path):
    """fake-gcs-server with the files of a directory below `data/`: Google's language, to read. It takes no values in XML."""
    server = program("fake-gcs-server", "LAZARR_GCS", "bin")

    def line(port: int) -> list[str]:
        words = {"backend": "memory", "host": HOST, "port": port, "scheme": "http", "log-level": "warn"}
        words |= {"public-host": f"{HOST}:{port}", "external-url": f"http://{HOST}:{port}"}
        return [server, *(word for name, value in words.items() for word in (f"-{name}", str(value)))]

    with running(line, scratch / "log") as port:
        endpoint = f"http://{HOST}:{port}"
        post(f"{endpoint}/storage/v1/b", json.dumps({"name": "bucket"}).encode())
        for file in root.rglob("*"):
            if file.is_file():
                key = urllib.parse.quote(f"data/{file.relative_to(root).as_posix()}", safe="")
                post(
                    f"{endpoint}/upload/storage/v1/b/bucket/o?uploadType=media&name={key}", file.read_bytes()
                )
        account = {
            "gcs_base_url": endpoint,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        yield {"service_account_key": json.dumps(account), "allow_http": True}
