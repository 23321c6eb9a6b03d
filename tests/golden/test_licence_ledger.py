"""A ledger's bytes, read by a second reader that was written from LEDGER.md alone."""

from __future__ import annotations

import json
import struct
from typing import Any

from blake3 import blake3
from castcore.licence import Ledger, Use

from tests.support.faultyledger import apply, licence, new_medium, opened

KIB = 1024
COPY = 512 * KIB
# Of the whole medium after `life`: whoever changes the format changes its number, and this.
DIGEST = "3ee9536963f11b4ad1a6b9562856e7977a14712bcfa81a2d6f06b00e33fb2d5f"


def life() -> tuple[bytes, Ledger]:
    """A medium on which all kinds of changes were made."""
    data = new_medium().data
    steps = [
        lambda ledger: ledger.import_licence(licence(1, 5, product="office-*", expires=1 << 32), 1000),
        lambda ledger: ledger.import_licence(licence(2, 300), 1001),
        *(
            lambda ledger, n=n: ledger.reserve(Use("c0ffee", f"m{n}"), "office-1", 1002 + n)
            for n in range(20)
        ),
        lambda ledger: ledger.consume(*(Use("c0ffee", f"m{n}") for n in range(3, 9)), now=2000),
        lambda ledger: ledger.release(Use("c0ffee", "m9"), Use("c0ffee", "m10"), now=2001),
    ]
    for step in steps:
        apply(data, step(opened(data)).writes)  # type: ignore[no-untyped-call]
    return bytes(data), opened(data)


def read(medium: bytes) -> dict[str, Any]:
    """What LEDGER.md says that the medium says."""
    states = []
    for copy in (medium[:COPY], medium[COPY:]):
        assert copy[:8] == b"FLEETLED"
        assert struct.unpack_from("<I", copy, 8) == (1,)
        assert copy[4064:4096] == blake3(copy[:4064]).digest()
        records = [copy[at : at + 16 * KIB] for at in range(256 * KIB, 512 * KIB, 16 * KIB)]
        whole = [r for r in records if r[:8] == b"FLEETREC" and r[16352:] == blake3(r[:16352]).digest()]
        whole.sort(key=lambda r: struct.unpack_from("<Q", r, 16))
        assert [r[40:72] for r in whole[1:]] == [r[16352:] for r in whole[:-1]]
        states.append(whole[-1])
    assert states[0] == states[1]
    return record(states[0], medium)


def record(r: bytes, medium: bytes) -> dict[str, Any]:
    number, licences, reservations, recent, sequence = struct.unpack_from("<HHHHQ", r, 8)
    kind, bound, count, time = struct.unpack_from("<BBHQ", r, 72)
    files = []
    for slot in range(licences):
        at = (4 + 4 * slot) * KIB
        (length,) = struct.unpack_from("<I", medium, at)
        files.append(medium[at + 4 : at + 4 + length])
        assert blake3(files[-1]).digest()[:16] == r[228 + 24 * slot : 244 + 24 * slot]
    return {
        "format": number,
        "sequence": sequence,
        "ledger": r[24:40],
        "event": (kind, count, time),
        "serial": r[101 : 101 + r[100]].decode() if bound else None,
        "counts": [json.loads(f)["count"] for f in files],
        "consumed": [struct.unpack_from("<I", r, 244 + 24 * n)[0] for n in range(licences)],
        "reserved": {
            r[1740 + 24 * n : 1756 + 24 * n]: struct.unpack_from("<HHI", r, 1756 + 24 * n)
            for n in range(reservations)
        },
        "recent": [r[14028 + 16 * n : 14044 + 16 * n] for n in range(recent)],
    }


def key(cast: str, machine: str) -> bytes:
    text = struct.pack("<I", len(cast)) + cast.encode() + machine.encode()
    return blake3(text).digest()[:16]


def test_another_reader_sees_the_same() -> None:
    medium, ledger = life()
    seen = read(medium)
    assert (seen["format"], seen["sequence"], seen["serial"]) == (1, 24, "0123456789AB")
    assert seen["event"] == (4, 2, 2001)
    assert seen["ledger"].hex() == ledger.id
    left = [c - u for c, u in zip(seen["counts"], seen["consumed"], strict=True)]
    for slot, balance in enumerate(ledger.balances()):
        mine = [since for at, _, since in seen["reserved"].values() if at == slot]
        assert balance.reserved == len(mine)
        assert balance.left == left[slot] - len(mine)
    held = [n for n in range(20) if key("c0ffee", f"m{n}") in seen["reserved"]]
    assert held == [0, 1, 2, *range(11, 20)]
    assert seen["reserved"][key("c0ffee", "m11")] == (1, 0, 1013)
    assert seen["recent"] == [key("c0ffee", f"m{n}") for n in range(3, 9)]


def test_the_bytes_are_those_of_the_first_ledger() -> None:
    assert blake3(life()[0]).hexdigest() == DIGEST
