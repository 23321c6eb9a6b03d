"""What the server remembers of network boots, and how API, page and command line show it."""

from __future__ import annotations

import argparse
import io
from typing import Any

import pytest
from castcore.boot import BootEvent, BootStage, Kind, Transfer
from castcore.edge.commandline import Screen
from castserver.commands import machines
from castserver.console.show import MOST_BOOTS
from castserver.netboot.bootwatch import LONGEST_DETAIL, MOST_MACS, BootWatch

from tests.support.serverlab import OPERATOR, FakeClient, ServerLab

STRANGER = "52:54:00:aa:00:01"
KNOWN = "52:54:00:00:00:01"  # the network card of FakeClient number 1


@pytest.fixture
def lab() -> ServerLab:
    return ServerLab()


def note(lab: ServerLab, mac: str, *stages: BootStage) -> None:
    for stage in stages:
        detail = Kind.UEFI.value if stage is BootStage.DISCOVER else f"{stage} of a test"
        lab.boots.note(BootEvent(mac, stage, detail))


def stop_at_43_percent(lab: ServerLab, mac: str) -> None:
    note(lab, mac, BootStage.DISCOVER, BootStage.OFFERED)
    part = Transfer("shimx64.efi", 430, 1000, over=True)
    lab.boots.note(BootEvent(mac, BootStage.TFTP, "shimx64.efi: stopped: no answer", "", part))


def later(lab: ServerLab, seconds: float) -> None:
    then = lab.boots.now() + seconds
    lab.boots.now = lambda: then


def test_histories_are_bounded_and_the_latest_counts() -> None:
    times = iter(range(10**6))
    watch = BootWatch(lambda: None, clock=lambda: next(times))
    for number in range(MOST_MACS + 5):
        watch.note(BootEvent(f"{number:012x}", BootStage.DISCOVER, "", f"10.0.{number}"))
    watch.note(BootEvent("", BootStage.FAILED, "a datagram of nobody"))
    watch.note(BootEvent(f"{7:012X}", BootStage.HTTP, "x" * 1000))
    assert len(watch.others()) == MOST_MACS
    assert watch.of([f"{0:012x}"]) == []
    first, second = watch.of([f"{8:012x}", f"{7:012x}"])
    assert (first.mac, first.reached, second.mac) == (f"{7:012x}", BootStage.HTTP, f"{8:012x}")
    assert len(first.latest.event.detail) == LONGEST_DETAIL
    assert watch.others()[0].mac == f"{7:012x}"
    assert len(watch.others([f"{7:012X}"])) == MOST_MACS - 1


def test_behind_a_router_a_machine_is_known_by_the_address_it_asked_for() -> None:
    watch = BootWatch(lambda: None)
    watch.note(BootEvent(STRANGER, BootStage.REQUESTED, "", "10.9.0.7"))
    watch.note(BootEvent("", BootStage.TFTP, "shimx64.efi: complete", "10.9.0.7"))
    watch.note(BootEvent("", BootStage.TFTP, "shimx64.efi: complete", "10.9.0.8"))
    (history,) = watch.others()
    assert (history.mac, history.reached) == (STRANGER, BootStage.TFTP)


def test_a_client_that_registers_ends_the_story_of_the_card_it_came_by(lab: ServerLab) -> None:
    note(lab, KNOWN, BootStage.DISCOVER, BootStage.OFFERED, BootStage.KERNEL)
    assert lab.operator("GET", "/state")["booting"][0]["stage"] == "kernel"
    client = FakeClient(lab, 1).register()
    shown = lab.operator("GET", f"/clients/{client.id}")
    assert shown["boot"]["stage"] == "client"
    assert shown["boot"]["outlook"] == "arrived"
    assert shown["why"] == ""
    assert lab.operator("GET", "/state")["booting"] == []
    (boots,) = lab.operator("GET", f"/clients/{client.id}/boots")
    assert [e["stage"] for e in boots["events"]] == ["discover", "offered", "kernel", "client"]


def test_a_client_without_a_network_boot_has_none(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    assert lab.operator("GET", f"/clients/{client.id}")["boot"] is None
    assert lab.operator("GET", f"/clients/{client.id}/boots") == []
    assert lab.operator("GET", "/boots") == []


def test_a_machine_that_came_and_is_away_again_is_not_here(lab: ServerLab) -> None:
    note(lab, KNOWN, BootStage.DISCOVER, BootStage.OFFERED, BootStage.KERNEL)
    client = FakeClient(lab, 1).register()
    lab.clock.now += 600
    later(lab, 600)
    for path in (f"/boots/{KNOWN}", f"/clients/{client.id}"):
        shown = lab.operator("GET", path)
        assert (shown.get("boot") or shown)["outlook"] == "away"
    assert [b["outlook"] for b in lab.operator("GET", "/boots")] == ["away"]


def test_a_machine_that_stays_away_has_a_reason(lab: ServerLab) -> None:
    client = FakeClient(lab, 1).register()
    lab.clock.now += 600
    assert "asked for no network boot since" in lab.operator("GET", f"/clients/{client.id}")["why"]
    stop_at_43_percent(lab, KNOWN)
    later(lab, 60)
    shown = lab.operator("GET", f"/clients/{client.id}")
    assert "TFTP of shimx64.efi stopped at 43%" in shown["why"]
    assert shown["hint"]


def test_one_card_is_asked_for_by_its_mac_in_either_spelling(lab: ServerLab) -> None:
    stop_at_43_percent(lab, STRANGER)
    later(lab, 60)
    for spelling in (STRANGER, STRANGER.upper().replace(":", "-")):
        shown = lab.operator("GET", f"/boots/{spelling}")
        assert shown["outlook"] == "stuck"
        assert (shown["events"][-1]["done"], shown["events"][-1]["total"]) == (430, 1000)
        assert shown["events"][0]["total"] is None
    missing = lab.http.get(f"/api/v1/boots/{KNOWN}", headers=OPERATOR)
    assert missing.status_code == 404
    assert "no network boot" in missing.json()["error"]
    assert "VLAN" in missing.json()["hint"]


def live_page(lab: ServerLab) -> str:
    lab.log_in()
    return str(lab.http.get("/live").text)


def test_the_page_says_why_a_machine_does_not_come(lab: ServerLab) -> None:
    stop_at_43_percent(lab, STRANGER)
    later(lab, 60)
    page = live_page(lab)
    assert STRANGER in page
    assert '<span class="badge bad">tftp</span>' in page
    assert "its TFTP of shimx64.efi stopped at 43%" in page


def test_invented_machines_do_not_fill_the_page(lab: ServerLab) -> None:
    for number in range(MOST_BOOTS + 10):
        note(lab, f"52:54:00:bb:00:{number:02x}", BootStage.DISCOVER)
    page = live_page(lab)
    assert page.count("52:54:00:bb") == MOST_BOOTS
    assert f"Only the {MOST_BOOTS} heard last" in page


def command(lab: ServerLab, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[str, Any]:
    """What ``fleetcast machines`` prints and returns."""

    class Operator:
        @classmethod
        def of(cls, _args: argparse.Namespace) -> Operator:
            return cls()

        def get(self, *path: str) -> Any:
            return lab.operator("GET", "/" + "/".join(path))

    monkeypatch.setattr(machines, "Operator", Operator)
    parser, out = argparse.ArgumentParser(), io.StringIO()
    machines.add_arguments(parser)
    result = machines.run(parser.parse_args(words), Screen(as_json=False, out=out, err=io.StringIO()))
    return out.getvalue(), result


def test_the_command_line_lists_who_is_here_who_is_not_and_why(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, gone = FakeClient(lab, 1).register(), FakeClient(lab, 2).register()
    lab.clock.now += 600
    here.orders()
    stop_at_43_percent(lab, STRANGER)
    later(lab, 60)
    said, result = command(lab, monkeypatch, "list")
    lines = said.splitlines()
    assert [m["client"] for m in result["machines"]] == [here.id, gone.id]
    assert [b["mac"] for b in result["booting"]] == [STRANGER]
    assert lines[1].startswith(here.id)
    assert lines[2].startswith(gone.id)
    assert lines[3].startswith("  our client on it was last heard")
    assert "stopped at 43%" in lines[-1]


def test_the_command_line_shows_the_events_of_a_machine_and_of_a_card(
    lab: ServerLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(lab, KNOWN, BootStage.DISCOVER, BootStage.OFFERED, BootStage.DISCOVER, BootStage.KERNEL)
    client = FakeClient(lab, 1).register()
    said, result = command(lab, monkeypatch, "show", client.id)
    assert f"network boot of {KNOWN}, attempt 1: came to client" in said
    assert "UEFI PXE (2 times)" in said
    assert len(result["boots_heard"]) == 1
    stop_at_43_percent(lab, STRANGER)
    later(lab, 60)
    said, result = command(lab, monkeypatch, "show", STRANGER)
    assert "its TFTP of shimx64.efi stopped at 43%" in said
    assert "(43% of 1000 B)" in said
    assert result["mac"] == STRANGER
