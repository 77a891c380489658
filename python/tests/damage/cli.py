"""The command line, over the same stores."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

from damage.worker import CEILING, LIMIT

ROOT = Path(__file__).parents[3]
SECONDS = 10


@functools.cache
def binary() -> str | None:
    """The command: `LAZARR_BIN`, or what cargo builds; None where there is neither."""
    if given := os.environ.get("LAZARR_BIN"):
        return given
    if shutil.which("cargo") is None or not (ROOT / "Cargo.toml").is_file():
        return None
    words = ["cargo", "build", "--quiet", "-p", "lazarr-cli", "--message-format=json"]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True)
    found = [json.loads(line).get("executable") for line in built.stdout.splitlines() if line.startswith("{")]
    return next(path for path in found if path)


def limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (CEILING, CEILING))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def verbs(elements: list[str]) -> list[list[str]]:
    """Every verb, over everything and over these elements, all rows and columns of them."""
    out = [["info"], ["plan"], ["plan", "--obs", ":5", "--resolve"], ["check", "--deep"]]
    return out + [["head", element, "-n", "1000", "-c", "1000"] for element in elements]


def run(path: Path, words: list[str]) -> dict:
    """What a command said: its code, its JSON without the name of the store, its error."""
    verb, *rest = words
    command = [str(binary()), verb, str(path), *rest, "--json", "--quiet", "--memory", str(LIMIT)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=SECONDS, preexec_fn=limits, check=False)
    except subprocess.TimeoutExpired:
        return {"hang": True}
    out: dict = {"code": ran.returncode, "stderr": ran.stderr.decode(errors="replace")}
    out["raw"] = bool(re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", ran.stdout + ran.stderr))
    if ran.returncode == 0:
        out["json"] = json.loads(ran.stdout)
        out["json"].pop("store", None)
    return out


def says_error(said: dict) -> bool:
    """Whether a head that ended well says of a part that it could not be read."""
    return any(re.search(r"\[LZ\d{4}\]", note) for note in said["json"].get("notes", []))


def problems(expect: str, words: list[str], said: dict, right: dict | None) -> list[str]:
    """What is wrong with it; `right` is what is said of the store that is whole."""
    name = " ".join(words)
    if "hang" in said:
        return [f"lazarr {name}: HANGS"]
    out = []
    if said["raw"]:
        out.append(f"lazarr {name}: raw control characters in what it writes")
    if (
        words[0] == "check" and said["code"] in {0, 1, 2, 3} and not said["stderr"]
    ):  # what it found is its result
        if expect == "error" and said["code"] == 0:
            out.append(f"lazarr {name}: finds nothing")
        elif expect == "value" and said["code"] != 0:
            out.append(f"lazarr {name}: calls broken what is legal")
    elif said["code"] != 0:
        sentence = said["stderr"].strip()
        if (
            said["code"] not in {1, 2, 3}
            or "\n" in sentence
            or not re.search(r"^error: .*\[LZ\d{4}\]$", sentence)
        ):
            out.append(f"lazarr {name}: ends with {said['code']}: {sentence[:300]}")
        elif re.search(r"\[LZ070[23]\]", sentence):
            out.append(f"lazarr {name}: a defect of its own: {sentence[:300]}")
        elif expect == "value" and "[LZ0501]" not in sentence:  # what is not there may be asked for
            out.append(f"lazarr {name}: REFUSED what is legal: {sentence[:300]}")
    elif words[0] == "head" and expect == "error" and right is not None and "json" in right:
        same = all(said["json"][k] == right["json"][k] for k in ("rows", "index", "columns", "value"))
        if not same and not says_error(said):
            out.append(f"lazarr {name}: SILENT: a wrong value, and no error")
    return out
