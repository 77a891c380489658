#!/usr/bin/env python3
"""Hold the list of modules with `unsafe` in ARCHITECTURE.md equal to what the code allows.

`unsafe_code` is denied in the whole workspace. A module that needs it says `allow(unsafe_code, reason = …)`,
and its path stands in ARCHITECTURE.md between `<!-- unsafe-modules -->` and `<!-- /unsafe-modules -->`, in
backticks (the first on its line).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOW = re.compile(r"\b(?:allow|expect)\s*\(\s*unsafe_code\b([^\]]*)\]", re.DOTALL)
UNSAFE = re.compile(r"\bunsafe\s*(?:\{|fn\b|impl\b|extern\b|trait\b)")
LISTED = re.compile(r"<!-- unsafe-modules -->(.*?)<!-- /unsafe-modules -->", re.DOTALL)


def code_of(text: str) -> str:
    """The text without line comments: prose about unsafe code is not unsafe code."""
    return re.sub(r"//[^\n]*", "", text)


def main() -> int:
    problems: list[str] = []
    allowed: set[str] = set()
    folders = (ROOT / "crates", ROOT / "python" / "src", ROOT / "fuzz", ROOT / "bench" / "floor")
    roots = [p for p in folders if p.is_dir()]
    for path in sorted(p for root in roots for p in root.rglob("*.rs") if "target" not in p.parts):
        name = path.relative_to(ROOT).as_posix()
        code = code_of(path.read_text(encoding="utf-8"))
        for match in ALLOW.finditer(code):
            allowed.add(name)
            if "reason" not in match.group(1):
                problems.append(f"{name}: allow(unsafe_code) without a reason")
        if name in allowed and not UNSAFE.search(code):
            problems.append(f"{name}: allows unsafe_code and uses none")

    page = ROOT / "ARCHITECTURE.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    section = LISTED.search(text)
    if section is None:
        if allowed or page.is_file():
            problems.append(
                "ARCHITECTURE.md: no list between <!-- unsafe-modules --> and <!-- /unsafe-modules -->"
            )
        listed: set[str] = set()
    else:
        lines = section.group(1).splitlines()
        listed = {m.group(1) for line in lines if (m := re.search(r"`([^`]+\.rs)`", line))}
    problems += [
        f"{name}: allows unsafe_code, but ARCHITECTURE.md does not list it"
        for name in sorted(allowed - listed)
    ]
    problems += [
        f"{name}: listed in ARCHITECTURE.md, but allows no unsafe_code" for name in sorted(listed - allowed)
    ]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{len(allowed)} modules with unsafe code, all listed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
