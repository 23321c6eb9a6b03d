"""The screen at 80x25: everything on it, nothing beside it, whatever the model holds."""

from __future__ import annotations

import dataclasses

import pytest
from castclient import screen
from castclient.model import CastNow, Model, RateMeter
from castclient.phases import Phase
from castclient.screen import Tone
from castcore.control import ClientState, Machine, Nic
from castcore.units import GIB, MIB

CAST = CastNow(
    "c1",
    ClientState.RECEIVING,
    done=512 * MIB,
    total=GIB,
    multicast=500 * MIB,
    unicast=12 * MIB,
    repaired=3 * MIB,
    rate=64 * MIB,
    target="/dev/vda (QEMU HARDDISK)",
    image="debian-12",
)
MODEL = Model(
    "0.1",
    phase=Phase.CASTING,
    machine=Machine("u", "Lenovo", "M70q", "PF3", firmware="uefi", secure_boot=True, memory=8 * GIB),
    nics=(
        Nic("eth0", "52:54:00:00:00:01", speed=1000, link=True, addresses=("192.0.2.10/24",)),
        Nic("eth1", "52:54:00:00:00:02"),
    ),
    server_url="https://192.0.2.1:8443",
    server_name="shop",
    server_words="acid-barn-cake-deer",
    cast=CAST,
    messages=tuple(f"message {n}" for n in range(8)),
)


def text(model: Model, width: int = 80, height: int = 25) -> str:
    lines = screen.render(model, width, height)
    assert len(lines) == height
    assert {len(line.text) for line in lines} == {width}
    return "\n".join(line.text.rstrip() for line in lines)


def test_a_cast_under_way() -> None:
    shown = text(MODEL)
    for part in (
        "Lenovo M70q, serial PF3 (UEFI, Secure Boot, 8.0 GiB)",
        "1000 Mb/s   192.0.2.10/24",
        "no link",
        "shop  https://192.0.2.1:8443",
        "acid-barn-cake-deer",
        ">>>  RECEIVING  <<<",
        " 50%",
        "512.0 MiB of 1.0 GiB, 64.0 MiB/s, 0:08 left",
        "by multicast 500.0 MiB, by unicast 12.0 MiB, repaired 3.0 MiB",
        "debian-12 -> /dev/vda (QEMU HARDDISK)",
        "message 7",
    ):
        assert part in shown, part


def test_a_failure_says_why_in_red() -> None:
    why = "the image does not go on /dev/vda: it is too small, " + "and so on " * 10
    failed = dataclasses.replace(MODEL, phase=Phase.FAILED, cast=None, problem=why)
    lines = screen.render(failed)
    red = [line.text for line in lines if line.tone is Tone.BAD]
    assert "FAILED" in red[0]
    assert "too small" in " ".join(red[1:])


def test_a_server_that_is_gone_is_said() -> None:
    assert "The server is gone" in text(dataclasses.replace(MODEL, link_lost=True))


def test_several_servers_are_listed_to_choose_from() -> None:
    shown = text(Model("0.1", phase=Phase.CHOOSING, choices=("one  https://a", "two  https://b")))
    assert "  1  one  https://a" in shown
    assert "  2  two  https://b" in shown


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", ClientState)
def test_every_state_has_a_headline(phase: Phase, state: ClientState) -> None:
    for cast in (None, dataclasses.replace(CAST, state=state, total=0)):
        assert ">>>" in text(dataclasses.replace(MODEL, phase=phase, cast=cast))


@pytest.mark.parametrize(("width", "height"), [(80, 25), (132, 43), (40, 15), (80, 3)])
def test_it_fits_any_console(width: int, height: int) -> None:
    text(dataclasses.replace(MODEL, nics=MODEL.nics * 6, problem="x" * 500), width, height)


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    shown = text(dataclasses.replace(MODEL, server_name="\x1b[2J\x07é\n"))
    assert "\x1b" not in shown
    assert "?[2J???" in shown


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter(window=5)
    assert meter.mark(0, 0) == 0
    assert meter.mark(1, 100) == 100
    assert [meter.mark(t, 100) for t in range(2, 8)][-1] == 0
    assert meter.mark(8, 50) == 0, "another step counts from zero again"
    assert meter.mark(10, 250) == 100


def test_percent_and_time_left() -> None:
    assert dataclasses.replace(CAST, done=GIB + 5).percent == 100
    assert dataclasses.replace(CAST, rate=0).eta is None
    assert CAST.eta == 8
