"""Whether outcomes are right."""

from __future__ import annotations

from damage.worker import LIMIT, ROOM

OURS = {"LZ0702", "LZ0703"}
"""Codes of a defect of lazarr."""
WHOLE_STORE = {"LZ0101", "LZ0103", "LZ0106"}
"""Codes that name a path, and no element."""
IN_BYTES = {"LZ0301", "LZ0302", "LZ0303", "LZ0305"}
"""Codes of bytes of a value that are wrong: the key is known."""
COMPARED = {"LZ0302", "LZ0303", "LZ0403", "LZ0404", "LZ0405", "LZ0407"}
"""Codes of two things that disagree: both are said."""


def error_problems(e: dict) -> list[str]:
    """What an error lacks."""
    text = f"{e['type']}: {e['text'][:300]}"
    if not e.get("lazarr"):
        return [f"not an error of lazarr: {text}"]
    code, out = e["code"], []
    if not code.startswith("LZ") or code in OURS:
        out.append(f"a defect of lazarr itself: {text}")
    if code not in WHOLE_STORE and not e["element"] and not e["key"]:
        out.append(f"names neither element nor key: {text}")
    if code in IN_BYTES and not e["key"]:
        out.append(f"names no key: {text}")
    if code in {"LZ0301", "LZ0302"} and not e["byte_range"]:
        out.append(f"names no bytes: {text}")
    if code in COMPARED and not (e["expected"] and e["found"]):
        out.append(f"does not say what was expected and what found: {text}")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in e["text"]):
        out.append(f"control characters: {text!r}")
    return out


def problems(
    expect: str, answer: dict, right: dict, at: str | None = None, *, local: bool = True, shown: bool = False
) -> list[str]:
    """What is wrong with the outcomes of a store.

    `right` are the values by path: of the whole store that was damaged, or what the damage makes of it.
    `local` says whether slices must be right too. `at` is the element that the error of the whole must name.
    """
    out, outcomes = [], answer["outcomes"]
    if not answer["ended"]:
        out.append("the process did not end well")
    for path, o in outcomes.items():
        if "hang" in o:
            out.append(f"{path}: HANGS, ended after {o['hang']} s")
        if "crash" in o:
            out.append(f"{path}: CRASHES: {o['crash']}")
        if (grew := o.get("grew", 0)) > LIMIT + ROOM:
            out.append(f"{path}: MEMORY grew by {grew >> 20} MiB, allowed {LIMIT >> 20} MiB")
        if e := o.get("error"):
            out += [f"{path}: {p}" for p in error_problems(e)]
            if expect == "value":
                out.append(f"{path}: REFUSED what is legal: {e['text'][:300]}")
            if expect != "either" and o.get("before") is False:
                out.append(f"{path}: SILENT: wrong rows came before the error")
        elif (shown and path.startswith("arrow")) or (not local and path.startswith(("slice", "view"))):
            continue
        elif (
            o.get("value")
            and expect != "either"
            and (path not in right or o["value"] != right[path]["value"])
        ):
            out.append(f"{path}: SILENT: a wrong value, and no error")
    if expect == "error":
        out += error_is_there(outcomes, at)
    return out


def error_is_there(outcomes: dict, at: str | None) -> list[str]:
    """The error must come with the whole, and with the element itself where that is asked for."""
    whole = outcomes.get("whole", {}).get("error") or outcomes.get("open", {}).get("error")
    if whole is None:
        return ["whole: SILENT: no error"]
    out = []
    if at is not None:
        place = whole.get("element") or whole.get("key") or ""
        if not (place == at or place.startswith(at + "/")):
            out.append(f"whole: the error is at {place!r}, not at {at!r}: {whole['text'][:300]}")
        parents = [at.rsplit("/", k)[0] for k in range(at.count("/") + 1)]
        mine = [outcomes[f"element {p}"] for p in parents if f"element {p}" in outcomes]
        if mine and not any("error" in o for o in mine) and "error" not in outcomes.get("open", {}):
            out.append("element: LATE: the element itself is read without an error")
    return out
