#!/usr/bin/env python3
"""The long runs, by name: `make campaign` lists them, `make campaign CAMPAIGN=bench-full` runs one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Campaign:
    """A long run: what it shows, about how long it takes on two cores, and its command."""

    about: str
    minutes: int
    command: tuple[str, ...]


CAMPAIGNS: dict[str, Campaign] = {
    "bench-full": Campaign(
        about="lazarr beside its peers on 200,000 cells; writes bench/RESULTS-full.md",
        minutes=60,
        command=("bench/run.py", "--full", "--out", str(HERE / "RESULTS-full.md")),
    ),
}


def main() -> int:
    names = sys.argv[1:]
    if not names:
        width = max(map(len, CAMPAIGNS))
        for name, campaign in CAMPAIGNS.items():
            print(f"  {name:<{width}}  about {campaign.minutes} min: {campaign.about}")
        return 0
    unknown = [n for n in names if n not in CAMPAIGNS]
    if unknown:
        print(f"error: no campaign {', '.join(unknown)}; there are: {', '.join(CAMPAIGNS)}", file=sys.stderr)
        return 2
    results = {
        n: subprocess.run([sys.executable, *CAMPAIGNS[n].command], cwd=HERE.parent, check=False)
        for n in names
    }
    for name, done in results.items():
        print(f"{name}: {'passed' if done.returncode == 0 else f'FAILED ({done.returncode})'}")
    return 0 if all(d.returncode == 0 for d in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
