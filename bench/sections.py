"""Comparisons across threads and across stores, each by turns in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lockstep import Participant, alternate
from report import milliseconds, table
from stores import facts_of, make_store
from workloads import WORKLOADS

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def worker(
    path: Path, facts: dict[str, Any], name: str, label: str, threads: int | None = None
) -> Participant:
    job = {"engine": "lazarr", "workload": name, "path": str(path), "facts": facts, "threads": threads}
    return Participant.worker(job, label)


def gain(one: Participant, two: Participant) -> float | None:
    return one.best / two.best if one.best and two.best else None


def cores(args: argparse.Namespace, layouts: list[str]) -> list[str]:
    """One thread against two, for lazarr and for the floor."""
    rows = []
    for layout in layouts:
        path = make_store(args.cells, args.genes, args.density, layout)
        facts = facts_of(path)
        for name in ("all", "random"):
            floor = WORKLOADS[name].floor
            if floor is None:
                continue
            job = {"store": str(path), **floor(facts)}
            floors = [Participant.floor(f"floor {n}", args.floor, {**job, "threads": n}) for n in (1, 2)]
            ours = [worker(path, facts, name, f"lazarr {n}", n) for n in (1, 2)]
            alternate([*floors, *ours], least=args.repeat, seconds=args.seconds)
            own, measure = gain(*ours), gain(*floors)
            met = None if own is None else own >= 1.8 or (measure is not None and own >= 0.95 * measure)
            rows.append(
                [
                    f"{layout}: {WORKLOADS[name].title}",
                    *(milliseconds(p.best) for p in (*ours, *floors)),
                    "–" if own is None else f"{own:.2f}",
                    "–" if measure is None else f"{measure:.2f}",
                    "–" if met is None else "yes" if met else "**no**",
                ]
            )
    head = ["", "lazarr, 1 thread, ms", "2 threads", "floor, 1 thread", "2 threads", "lazarr's gain"]
    title = "### Cores: one thread against two (≥ 1.8, or ≥ 0.95 of the floor's own gain)"
    return [title, "", *table([*head, "floor's gain", "met"], rows), ""]


def small_chunks(args: argparse.Namespace) -> list[str]:
    """All of X from inner chunks of 2 Ki against 64 Ki."""
    taking = []
    for layout in ("small", "inner64k"):
        path = make_store(args.cells, args.genes, args.density, layout)
        taking.append(worker(path, facts_of(path), "all", layout))
    alternate(taking, least=args.repeat, seconds=args.seconds)
    ratio = gain(*taking)
    met = "–" if ratio is None else "yes" if ratio <= 1.25 else "**no**"
    rows = [
        [*(milliseconds(p.best) for p in taking), "–" if ratio is None else f"{ratio:.2f}", "≤ 1.25", met]
    ]
    head = ["inner chunks of 2 Ki, ms", "64 Ki, ms", "ratio", "target", "met"]
    return ["### Small chunks: all of X", "", *table(head, rows), ""]
