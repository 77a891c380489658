"""Programs that are measured by turns: a few runs of each, again and again, since the machine drifts.

A participant is a process that is told what to do in one line of JSON, answers with what its first call took,
and then runs once for each line `go`. `floor` is the Rust program in bench/floor, the others are worker.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
FLOOR_TARGET = ROOT / "target" / "floor"

Answer = dict[str, Any]


def build_floor(profile: str) -> Path:
    """The floor's program, for this very processor.

    c-blosc compiles its AVX2 shuffle only where the target has it, and the floor is to be what the hardware
    allows: so this one program is built with `target-cpu=native`, in a target directory of its own, since
    cargo would build everything else anew each time the flags change.
    """
    words = ["cargo", "build", "--quiet", "--package", "lazarr-floor", "--profile", profile]
    flags = {"RUSTFLAGS": "-C target-cpu=native", "CARGO_TARGET_DIR": str(FLOOR_TARGET)}
    subprocess.run(words, cwd=ROOT, env={**os.environ, **flags}, check=True)
    return FLOOR_TARGET / profile / "lazarr-floor"


class Participant:
    """One process that runs when it is told to."""

    def __init__(self, label: str, command: list[str], job: dict[str, Any]) -> None:
        self.label = label
        self.times: list[float] = []
        self.cpu: list[float] = []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.facts: Answer = self.ask(json.dumps(job))

    @classmethod
    def floor(cls, label: str, program: Path, job: dict[str, Any]) -> Participant:
        return cls(label, [str(program)], job)

    @classmethod
    def worker(cls, job: dict[str, Any], label: str | None = None) -> Participant:
        command = [sys.executable, str(HERE / "worker.py"), "--serve"]
        return cls(label or job["engine"], command, job)

    @property
    def running(self) -> bool:
        return "first_s" in self.facts and "error" not in self.facts

    @property
    def best(self) -> float | None:
        return min(self.times) if self.times and self.running else None

    @property
    def pipes(self) -> tuple[IO[str], IO[str], IO[str]]:
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise RuntimeError("the process has no pipes")
        return stdin, stdout, stderr

    def ask(self, line: str) -> Answer:
        """One line out, one line back; an error where the process has ended."""
        stdin, stdout, stderr = self.pipes
        try:
            stdin.write(line + "\n")
            stdin.flush()
            text = stdout.readline()
        except BrokenPipeError:
            text = ""
        if text:
            answer: Answer = json.loads(text)
            return answer
        last = stderr.read().strip().splitlines() or [f"ended with {self.process.wait()}"]
        return {"error": last[-1][:200].replace(f"{HERE}/", "")}

    def go(self) -> None:
        answer = self.ask("go")
        if "seconds" in answer:
            self.times.append(answer["seconds"])
            self.cpu.append(answer.get("cpu", 0.0))
        else:
            self.facts = answer

    def end(self) -> None:
        """What the process adds at its end, and its end."""
        if self.process.poll() is None:
            if self.running and self.process.args[-1] == "--serve":  # type: ignore[index]
                self.facts |= self.ask("end")
            self.pipes[0].close()
            self.process.wait(30)


TURN = 2
"""Runs of a turn. While others have theirs, the host of a virtual machine takes back what memory is free by
then, and gives it again when it is touched: the first run after a break of seconds pays for that."""


def alternate(participants: list[Participant], *, least: int, seconds: float) -> None:
    """At least so many runs of each, and more within the seconds: what is short is noisy."""
    most = 20 * least
    started = time.monotonic()
    runs = 0
    while runs < least or (runs < most and time.monotonic() - started < seconds):
        for participant in participants:
            for _ in range(TURN):
                if participant.running:
                    participant.go()
        runs += TURN
        if not any(p.running for p in participants):
            break
    for participant in participants:
        participant.end()
