#!/usr/bin/env python3
"""lazarr beside its peers over a network: the same store on a server that adds 50 ms to every request.

The server (bench/floor/src/bin/serve.rs) is on loopback. Each engine runs in a process of its own; each call
has a handle of its own, opened outside the clock (but for the workload `open`), so that no call lives on what
another has read. Peers run over obstore and over fsspec, with each of zarr's pipelines. Three targets:

- >= 5 x faster than the best of `read_lazy` for open, random rows, a category and a gene;
- no slower than any peer;
- <= 1.3 x the critical path + 20 ms: dependent round trips (as the server sees them, where nothing waits for
  a slot) x the measured latency + the larger of bytes / the measured bandwidth and what the same takes from
  the local disk.

    python bench/distance.py                          # 20,000 cells, two layouts
    python bench/distance.py --engines lazarr,read_lazy --workloads open,random
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Self

import zarr
from engines import PIPELINES, Eager, Engine, Lazarr, Peer, ReadLazy, SparseDataset, Task
from lockstep import FLOOR_TARGET, build_floor
from report import milliseconds, replace, table
from stores import facts_of, make_store, warm

HERE = Path(__file__).resolve().parent
TITLES = {
    "open": "open",
    "rows": "1,000 contiguous rows",
    "random": "1,000 random rows",
    "category": "rows of a category",
    "head": "head of obs",
    "gene_some": "one gene, CSR",
}
FIVE_TIMES = ("open", "random", "category", "gene_some")
TRANSPORTS = ("obstore", "fsspec")

Answer = dict[str, Any]


def remote_store(url: str, transport: str) -> Any:
    """A store of zarr-python over HTTP."""
    if transport == "obstore":
        from obstore.store import HTTPStore
        from zarr.storage import ObjectStore

        return ObjectStore(HTTPStore.from_url(url, client_options={"allow_http": True}), read_only=True)
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(url, read_only=True)


class FarLazarr(Lazarr):
    """lazarr at a URL; `slots` as in its storage options."""

    slots: int | None = None

    def open(self, task: Task, *, counting: bool = False) -> Any:
        del counting
        if "://" not in str(task.path):
            return self.lz.open(task.path)
        return self.lz.open(str(task.path), storage_options={"slots": self.slots} if self.slots else None)


def over_http(base: type[Peer], pipeline: str, transport: str) -> Peer:
    """A peer whose group is at a URL."""

    class Far(base):  # type: ignore[misc, valid-type]
        def group(self, task: Task, *, counting: bool) -> zarr.Group:
            del counting
            store = remote_store(str(task.path), transport)
            return zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=True)

    made: Peer = Far(pipeline)
    made.name = f"{made.name}, {transport}"
    return made


def far_engines() -> list[Engine]:
    """Each by its name."""
    peers = [
        over_http(base, pipeline, transport)
        for base in (ReadLazy, SparseDataset)
        for pipeline in PIPELINES
        for transport in TRANSPORTS
    ]
    return [FarLazarr("lazarr"), *peers, over_http(Eager, "Fused", "obstore")]


def worker() -> int:
    """One engine at all its workloads: a job in a line of JSON, an answer in a line for each."""
    from worker import digest

    out = sys.stdout
    job = json.loads(sys.stdin.readline())
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = next(e for e in far_engines() if e.name == job["engine"])
        missing = engine.prepare()
        engine.slots = job.get("slots")  # type: ignore[attr-defined]
        task = Task(job["path"], job["facts"])
        for line in sys.stdin:
            name = line.strip()
            answer: Answer = {}
            try:
                if missing or not engine.offers(name):
                    answer = {"skipped": missing or "it has no such thing"}
                else:
                    handle = None if name == "open" else engine.open(task)
                    started = time.perf_counter()
                    result = engine.open(task) if name == "open" else engine.run(name, handle, task)
                    answer = {"seconds": time.perf_counter() - started}
                    answer["digest"] = digest(engine.shape(result) if name == "open" else result)
            except Exception as e:  # noqa: BLE001 - a peer that cannot is a line in the table
                answer = {"error": f"{type(e).__name__}: {e}"[:160]}
            print(json.dumps(answer), file=out, flush=True)
    return 0


class Worker:
    """A process with one engine."""

    def __init__(self, engine: str, path: str, facts: dict[str, Any], slots: int | None = None) -> None:
        self.process: Any = subprocess.Popen(
            [sys.executable, str(HERE / "distance.py"), "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.say(json.dumps({"engine": engine, "path": path, "facts": facts, "slots": slots}))

    def say(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, workload: str) -> Answer:
        self.say(workload)
        line = self.process.stdout.readline()
        answer: Answer = json.loads(line) if line else {"error": "the process ended"}
        return answer

    def best(self, workload: str, repeat: int, patience: float) -> Answer:
        """The best of some calls after a first one, fewer where they are slow."""
        first = self.ask(workload)
        times = []
        started = time.monotonic()
        while "seconds" in first and len(times) < repeat:
            again = self.ask(workload)
            if "seconds" not in again:
                return again
            times.append(again["seconds"])
            if time.monotonic() - started > patience:
                break
        return {**first, "best_s": min(times)} if times else first

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Server:
    """The server, as long as a block."""

    def __init__(self, folder: Path, delay_ms: float, profile: str) -> None:
        program = FLOOR_TARGET / profile / "serve"
        self.process: Any = subprocess.Popen(
            [str(program), str(folder), str(delay_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, connection: http.client.HTTPConnection, path: str, size: int | None = None) -> bytes:
        headers = {} if size is None else {"Range": f"bytes=0-{size - 1}"}
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read()

    def report(self) -> dict[str, int]:
        """What was asked since the last report."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        said: dict[str, int] = json.loads(self.get(connection, "/-/report"))
        return said

    def distance(self, folder: Path) -> tuple[float, float]:
        """Seconds to an answer, and bytes a second of a long one, over a connection that stands."""
        largest = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
        path = "/" + largest.relative_to(folder.parent).as_posix()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        latencies, rates = [], []
        for _ in range(9):
            started = time.perf_counter()
            self.get(connection, path, 1)
            latencies.append(time.perf_counter() - started)
        latency = sorted(latencies)[len(latencies) // 2]
        for _ in range(3):
            started = time.perf_counter()
            got = len(self.get(connection, path, 32 << 20))
            rates.append(got / max(time.perf_counter() - started - latency, 1e-6))
        return latency, max(rates)


def measure_lazarr(
    server: Server, path: Path, url: str, facts: dict[str, Any], args: Any
) -> dict[str, Answer]:
    """lazarr's times, what its requests were, and how long the same takes from the local disk."""
    far, wide = Worker("lazarr", url, facts), Worker("lazarr", url, facts, slots=256)
    near = Worker("lazarr", str(path), facts)
    seen = {}
    for name in args.workloads:
        answer = far.best(name, args.repeat + 2, args.patience)
        local = near.best(name, 7, args.patience)
        # Opening is outside the clock, and outside of what is counted.
        opened = {"requests": 0, "round_trips": 0, "bytes": 0}
        chains = []
        for _ in range(3):
            if name != "open":
                wide.ask("open")
                opened = server.report()
            wide.ask(name)
            chains.append(server.report())
        least = min(chains, key=lambda c: c["round_trips"])
        # A call opens its handle first: one more request of the same kind.
        answer["asked"] = {k: least[k] - opened[k] for k in least}
        answer["local_s"] = local.get("best_s", 0.0)
        seen[name] = answer
    for one in (far, wide, near):
        one.end()
    return seen


def fastest(times: dict[str, float], best: float) -> list[str]:
    """The fastest of these and its time, and how much slower that is than ours."""
    if not times:
        return ["–", "–"]
    name = min(times, key=lambda n: times[n])
    return [f"{name}: {milliseconds(times[name])}", f"{times[name] / best:.1f}"]


def measure(layout: str, args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The table of a layout, and what was not met."""
    path = make_store(args.cells, args.genes, args.density, layout)
    facts = facts_of(path)
    warm(path)
    failed: list[str] = []
    with Server(path.parent, args.delay, args.profile) as server:
        url = f"http://127.0.0.1:{server.port}/{path.name}"
        latency, bandwidth = server.distance(path)
        server.report()
        ours = measure_lazarr(server, path, url, facts, args)
        peers: dict[str, dict[str, Answer]] = {}
        for engine in far_engines()[1:]:
            if not any(engine.name.startswith(word) for word in args.engines):
                continue
            one = Worker(engine.name, url, facts)
            server.report()
            for name in args.workloads:
                answer = one.best(name, args.repeat, args.patience)
                peers.setdefault(name, {})[engine.name] = answer
                print(f"{layout} {name} {engine.name}: {answer}", file=sys.stderr, flush=True)
            one.end()
        latency = min(latency, server.distance(path)[0])
    rows = []
    for name in args.workloads:
        mine = ours[name]
        if "best_s" not in mine:
            failed.append(f"{layout}, {TITLES[name]}: {mine.get('error', mine)}")
            continue
        asked, best = mine["asked"], mine["best_s"]
        path_s = asked["round_trips"] * latency + max(asked["bytes"] / bandwidth, mine["local_s"])
        allowed = 1.3 * path_s + 0.02
        done = {n: a for n, a in peers.get(name, {}).items() if "best_s" in a}
        lazy = {n: a["best_s"] for n, a in done.items() if n.startswith("read_lazy")}
        rest = {n: a["best_s"] for n, a in done.items()}
        met = [best <= allowed]
        if lazy and name in FIVE_TIMES:
            met.append(min(lazy.values()) >= 5 * best)
        if rest:
            met.append(min(rest.values()) >= best)
        for engine, answer in done.items():
            if answer["digest"] != mine["digest"]:
                failed.append(f"{layout}, {TITLES[name]}: {engine} has another answer")
        if not all(met):
            failed.append(f"{layout}, {TITLES[name]}: a target")

        others = {n: s for n, s in rest.items() if n not in lazy}
        rows.append(
            [
                TITLES[name],
                milliseconds(best),
                str(asked["round_trips"]),
                str(asked["requests"]),
                f"{asked['bytes'] / 1e6:.2f}",
                milliseconds(path_s),
                milliseconds(allowed),
                *fastest(lazy, best),
                *fastest(others, best),
                "yes" if all(met) else "**no**",
            ]
        )
    head = [
        "workload",
        "lazarr ms",
        "round trips",
        "requests",
        "MB",
        "critical path ms",
        "allowed ms",
        "best read_lazy, ms",
        "/ lazarr",
        "best other, ms",
        "/ lazarr",
        "met",
    ]
    title = (
        f"#### layout `{layout}`, {args.cells:,} cells: {latency * 1e3:.1f} ms to an answer, "
        f"{bandwidth / 1e6:,.0f} MB/s"
    )
    missing: dict[str, set[str]] = {}
    for answers in peers.values():
        for engine, answer in answers.items():
            why = answer.get("error") or answer.get("skipped")
            if why and why != "it has no such thing":
                missing.setdefault(why, set()).add(engine)
    notes = [f"- left out: {', '.join(sorted(names))}: {why}" for why, names in missing.items()]
    return [title, "", *table(head, rows), "", *notes, *([""] if notes else [])], failed


def distance(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The section that bench/run.py writes, and what was not met."""
    build_floor(args.profile)
    lines = [
        f"### Over a network: the server adds {args.delay:g} ms to every request",
        "",
        "Cold calls: each with a handle of its own. Targets: ≥ 5 × the best of `read_lazy` for open, random "
        "rows, a category and a gene; no slower than any peer; ≤ 1.3 × the critical path + 20 ms.",
        "",
    ]
    failed: list[str] = []
    for layout in args.far_layouts.split(","):
        more, wrong = measure(layout, args)
        lines += more
        failed += wrong
    return lines, failed


def arguments(parser: argparse.ArgumentParser) -> None:
    """What bench/run.py has as well, and what is this comparison's own."""
    parser.add_argument("--delay", type=float, default=50.0, help="milliseconds added to every request")
    parser.add_argument("--far-layouts", default="lz4,default")


def main() -> int:
    if sys.argv[1:] == ["--worker"]:
        return worker()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--density", type=float, default=0.072)
    parser.add_argument("--engines", default="read_lazy,sparse_dataset,eager", help="beginnings of names")
    parser.add_argument("--workloads", default=",".join(TITLES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds after which less is repeated")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--write", action="store_true", help="write the section into RESULTS.md")
    arguments(parser)
    args = parser.parse_args()
    args.engines = args.engines.split(",")
    args.workloads = args.workloads.split(",")
    lines, failed = distance(args)
    print("\n".join([*lines, f"FAILED: {'; '.join(failed)}" if failed else "all targets were met"]))
    if args.write:
        replace(HERE / "RESULTS.md", "distance", lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
