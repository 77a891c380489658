"""Talks with a worker."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path


class Worker:
    """A process that forks for each job."""

    def __init__(self, good: Path | None = None) -> None:
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        env["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parents[1]), *filter(None, [env.get("PYTHONPATH")])]
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "damage.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        )
        if good is not None:
            self.ask({"engine": "warm", "path": str(good)})

    def ask(self, job: dict) -> dict:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        data = pickle.dumps(job)
        self.process.stdin.write(len(data).to_bytes(8, "little") + data)
        self.process.stdin.flush()
        size = self.process.stdout.read(8)
        if len(size) < 8:
            raise RuntimeError("the worker itself has gone")
        return json.loads(self.process.stdout.read(int.from_bytes(size, "little")))

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def truth(worker: Worker, path: Path, change=None) -> dict:
    """The right answers of a store, by path, and the object itself (pickled)."""
    told = worker.ask({"engine": "truth", "path": str(path), "change": change})["outcomes"]
    if "truth" not in told or "runner" in told:
        raise RuntimeError(f"no truth of {path}: {told.get('runner')}")
    return {"object": bytes.fromhex(told.pop("truth")["object"]), "paths": told}
