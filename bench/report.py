"""The tables: lazarr against its floor and its best peer, and every engine beside it in a second file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path

Answer = dict[str, Any]


def milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    ms = seconds * 1000
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def megabytes(count: int | None) -> str:
    if count is None:
        return "–"
    mb = count / 1e6
    return f"{mb:.2f}" if mb < 10 else f"{mb:,.0f}"


def count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


MAIN = [
    "workload",
    "lazarr ms",
    "floor ms",
    "lazarr / floor",
    "target",
    "met",
    "CPU / floor's",
    "first ms (lazarr, floor)",
    "best peer, ms",
    "peer / lazarr",
    "peak MB",
    "result MB",
    "requests",
    "µs over decode per chunk",
]


# From here on what a chunk costs beyond its decoding can be told from noise.
MANY_CHUNKS = 1_000


def is_peer(name: str) -> bool:
    return not name.startswith(("lazarr", "floor", "full floor", "cellstream"))


def target(name: str, layout: str, seen: Answer) -> tuple[str, bool | None]:
    """The target of a workload as words, and whether it is met; `None`: there is none, or no measure."""
    workload = WORKLOADS[name]
    best = seen.get("lazarr", {}).get("best_s")
    if best is None:
        return "–", None
    if workload.milliseconds is not None:
        return f"≤ {workload.milliseconds:g} ms", best * 1000 <= workload.milliseconds
    told: list[str] = []
    met: list[bool] = []
    allowed = workload.ratio.get(layout, workload.ratio.get("*"))
    floor = seen.get("floor", {}).get("best_s")
    if allowed is not None:
        told.append(f"≤ {allowed:g}")
        if floor is not None:
            met.append(best / floor <= allowed)
    allowed = workload.beside_ratio.get(layout, workload.beside_ratio.get("*"))
    measure = seen.get(workload.beside or "", {}).get("best_s")
    if allowed is not None and workload.beside:
        told.append(f"≤ {allowed:g} × {workload.beside}")
        if measure is not None:
            told[-1] += f" ({milliseconds(measure)} ms: {best / measure:.2f})"
            met.append(best / measure <= allowed)
    return " and ".join(told) or "–", all(met) if met else None


def main_row(name: str, layout: str, seen: Answer) -> list[str]:
    lazarr, floor = seen.get("lazarr", {}), seen.get("floor", {})
    best, least = lazarr.get("best_s"), floor.get("best_s")
    words, met = target(name, layout, seen)
    peers = {n: a["best_s"] for n, a in seen.items() if is_peer(n) and "best_s" in a}
    peer = min(peers, key=lambda n: peers[n]) if peers else None
    ratio = f"{best / least:.2f}" if best and least else "–"
    if best and seen.get("full floor", {}).get("best_s"):
        ratio += f" ({best / seen['full floor']['best_s']:.2f} of the full decode)"
    cpu = "–"
    if lazarr.get("cpu_s") and floor.get("cpu_s"):
        cpu = f"{lazarr['cpu_s'] / floor['cpu_s']:.2f}"
    over = "–"
    if best and least and floor.get("chunks", 0) >= MANY_CHUNKS:
        over = f"{(best - least) * 1e6 / floor['chunks']:.2f}"
    if "error" in lazarr or "skipped" in lazarr:
        words = lazarr.get("error") or lazarr["skipped"]
    return [
        WORKLOADS[name].title,
        milliseconds(best),
        milliseconds(least),
        ratio,
        words,
        "–" if met is None else "yes" if met else "**no**",
        cpu,
        f"{milliseconds(lazarr.get('first_s'))}, {milliseconds(floor.get('first_s'))}",
        f"{peer}: {milliseconds(peers[peer])}" if peer else "–",
        f"{peers[peer] / best:.2f}" if peer and best else "–",
        megabytes(lazarr.get("growth_bytes")),
        megabytes(lazarr.get("result_bytes")),
        count(lazarr.get("requests")),
        over,
    ]


def main_table(layout: str, seen: dict[str, Answer]) -> list[str]:
    """One line a workload. `seen`: by workload, then by engine."""
    rows = [main_row(name, layout, answers) for name, answers in seen.items()]
    # Columns without a single figure are left out.
    keep = [i for i in range(len(MAIN)) if i == 0 or any(row[i] not in ("–", "–, –") for row in rows)]
    return table([MAIN[i] for i in keep], [[row[i] for i in keep] for row in rows])


PEERS = [
    "engine",
    "best ms",
    "/ lazarr",
    "first ms",
    "peak MB",
    "result MB",
    "requests",
    "MB asked",
    "reads",
    "MB read",
]


def peer_row(name: str, answer: Answer, reference: Answer) -> list[str]:
    best = answer["best_s"]
    runs = answer.get("repeats", 5)
    growth = megabytes(answer.get("growth_bytes")) + ("" if answer.get("growth_exact", True) else " (≤)")
    return [
        name,
        milliseconds(best) + ("" if runs >= 5 else f" (of {runs})"),
        f"{best / reference['best_s']:.2f}" if "best_s" in reference else "–",
        milliseconds(answer["first_s"]),
        growth,
        megabytes(answer.get("result_bytes")),
        count(answer.get("requests")),
        megabytes(answer.get("request_bytes")),
        count(answer.get("kernel_reads")),
        megabytes(answer.get("kernel_bytes")),
    ]


def peer_table(answers: Answer) -> list[str]:
    rows = [peer_row(n, a, answers.get("lazarr", {})) for n, a in answers.items() if "best_s" in a]
    lines = table(PEERS, rows)
    skipped: dict[str, list[str]] = {}
    notes: list[str] = []
    for name, answer in answers.items():
        if "error" in answer:
            notes.append(f"- FAILED: {name}: {answer['error']}")
        elif "skipped" in answer:
            skipped.setdefault(answer["skipped"], []).append(name)
    notes += [f"- left out, {why}: {'; '.join(names)}" for why, names in skipped.items()]
    digests = {n: a["digest"] for n, a in answers.items() if "digest" in a}
    if len(set(digests.values())) > 1:
        notes += [f"- DIFFERENT ANSWERS: {n}: {digest}" for n, digest in digests.items()]
    return [*lines, "", *notes, *([""] if notes else [])]


def replace(path: Path, mark: str, lines: list[str]) -> None:
    """Put the lines between the marks in a file; its other parts stay, new marks go before the campaigns."""
    begin, end = f"<!-- bench {mark} -->", f"<!-- /bench {mark} -->"
    part = "\n".join([begin, *lines, end])
    text = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    if begin in text:
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        text = re.sub(pattern, lambda _: part, text, flags=re.DOTALL)
    elif "## Campaigns" in text:
        text = text.replace("## Campaigns", part + "\n\n## Campaigns", 1)
    else:
        text = text.rstrip("\n") + "\n\n" + part + "\n"
    path.write_text(text, encoding="utf-8")
