"""How commands show machines: lists, one with its network boots, its history, the plan of an import."""

from __future__ import annotations

import time
from typing import Any

from castcore.units import human

from castserver.cli.texttable import table
from castserver.days import DAY
from castserver.moments import utc
from castserver.wording import printable

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def listing(machines: list[dict[str, Any]], booting: list[dict[str, Any]]) -> str:
    """One line for each machine, and why it is not here; then who boots and was not met."""
    rows = [("MACHINE", "STATE", "BOOTS", "NAME", "GROUPS", "TAGS")]
    rows += [
        (m["client"], m["state"], m["boots"], m["label"], ", ".join(m["groups"]), ", ".join(m["tags"]))
        for m in machines
    ]
    heading, *shown = table(rows, indent="")
    lines = [heading]
    for line, machine in zip(shown, machines, strict=True):
        lines += [line, *(f"  {printable(machine[w])}" for w in ("why", "doubt") if machine[w])]
    if booting:
        boots = [("BOOTING", "CAME TO", "HOW IT STANDS")]
        boots += [(b["mac"], b["stage"], b["sentence"]) for b in booting]
        lines += ["", *table(boots, indent="")]
    return "\n".join(lines)


def details(machine: dict[str, Any]) -> str:
    """One machine: what people say of it, how it stands, its hardware, its network boots."""
    facts = machine["machine"]
    said = (machine["report"] or {}).get("message")
    once = f"{machine['boot_image']}, this once; then " if machine["boot_image"] else ""
    told = {
        "state": ", ".join(filter(None, (machine["state"], said))),
        "why": machine["why"],
        "": machine["hint"],
        "doubt": machine["doubt"],
        "groups": ", ".join(machine["groups"]),
        "tags": ", ".join(machine["tags"]),
        "note": machine["note"].replace("\n", " / "),
        "boots": f"{once}{'our client' if machine['boots'] == 'client' else 'its own disk'}",
        "firmware": f"{facts['firmware']}{', Secure Boot' if facts['secure_boot'] else ''}",
        "uuid": facts["uuid"] or "none",
        "cards": ", ".join(nic["mac"] for nic in machine["nics"]),
    }
    lines = [f"machine {machine['client']}: {printable(machine['label'])}"]
    lines += [f"  {word:<9}  {printable(text)}" for word, text in told.items() if text]
    rows = [("DISK", "SIZE", "MODEL", "")]
    rows += [(d["path"], human(d["size"]), d["model"], d["held_by"]) for d in machine["disks"]]
    idle = [d for d in machine.get("devices", ()) if not d["driver"]]
    if idle:
        lines.append(
            f"  devices    {len(idle)} of {len(machine['devices'])} without a driver"
            " (media-builder drivers check tells which matter)"
        )
    boots = [line for boot in machine.get("boots_heard", ()) for line in boot_lines(boot)]
    return "\n".join([*lines, *table(rows), *boots])


def boot_lines(boot: dict[str, Any]) -> list[str]:
    """A network card's boots: how the latest stands, then the last events."""
    lines = [
        f"network boot of {boot['mac']}, attempt {boot['attempt']}: came to {boot['stage']}",
        f"  {printable(boot['sentence'])}",
        *([f"  next: {printable(boot['hint'])}"] if boot["hint"] else []),
    ]
    rows = [("WHEN", "ATTEMPT", "STAGE", "WHAT")]
    rows += [_event_row(event, time.time()) for event in boot["events"]]
    return [*lines, *table(rows)]


def marks(found: dict[str, dict[str, int]]) -> str:
    """Every group and tag with its number of machines."""
    rows = [("GROUP", "MACHINES"), *((word, str(n)) for word, n in found["groups"].items())]
    tags = [("TAG", "MACHINES"), *((word, str(n)) for word, n in found["tags"].items())]
    return "\n".join([*table(rows, indent=""), "", *table(tags, indent="")])


def deployed(machines: list[dict[str, Any]]) -> str:
    """What each machine proved last, and what was tried since."""
    rows = [("MACHINE", "NAME", "IMAGE", "PROVEN (UTC)", "ROOT", "SINCE")]
    for machine in machines:
        proven, last = machine["proven"], machine["last"]
        since = f"{last['image']}: {last['state']} {utc(last['when'])}" if last else ""
        what = (
            (proven["image"], utc(proven["when"]), proven["root"][:16]) if proven else ("", "never", "")
        )
        rows.append((machine["client"], machine["label"], *what, since))
    return "\n".join(table(rows, indent=""))


def history(writes: list[dict[str, Any]]) -> str:
    """A machine's part in every cast."""
    rows = [("WHEN (UTC)", "CAST", "IMAGE", "STATE", "WRITTEN", "ROOT", "NOTE")]
    rows += [
        (
            utc(w["when"]),
            w["cast"],
            w["image"],
            w["state"],
            human(w["written"]),
            w["root"][:16],
            w["message"],
        )
        for w in writes
    ]
    return "\n".join(table(rows, indent=""))


def plan(found: dict[str, Any]) -> str:
    """What a file does, or everything that is wrong with it."""
    how = f"read as {found['encoding'] or 'no text'}, separated by {DELIMITERS[found['delimiter']]}"
    counts = f"{found['add']} to add, {found['change']} to change, {found['same']} as they are"
    lines = [f"{how}: {counts}"]
    for problem in found["problems"]:
        column = f", column {printable(problem['column'])}" if problem["column"] else ""
        lines.append(f"  line {problem['line']}{column}: {printable(problem['what'])}")
    if not found["problems"]:
        for change in found["changes"]:
            fields = "; ".join(f"{c}: {a!r} -> {b!r}" for c, (a, b) in change["fields"].items())
            lines.append(
                f"  line {change['line']}: {change['action']} {printable(change['label'])}: {fields}"
            )
    return "\n".join(lines)


def _event_row(event: dict[str, Any], now: float) -> tuple[str, str, str, str]:
    today = now - event["when"] < DAY
    when = time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", time.localtime(event["when"]))
    words = [event["detail"]]
    if event["total"] and event["done"] < event["total"]:
        words.append(f"({event['done'] * 100 // event['total']}% of {human(event['total'])})")
    if event["times"] > 1:
        words.append(f"({event['times']} times)")
    return when, str(event["attempt"]), event["stage"], " ".join(words)
