"""What the kernel command line and trust.json tell the client."""

from __future__ import annotations

import json

import pytest
from castclient.settings import Mode, Settings, from_boot, read_trust
from castcore.bootsettings import BadSettings, BootSettings
from castcore.errors import Untrusted

KEY = bytes(range(32))
TRUST = json.dumps({"key": KEY.hex(), "url": "https://192.0.2.1:8443"}).encode()


def test_the_command_line_and_trust_file_together() -> None:
    line = (
        "quiet console=tty0 console=ttyS0,115200 fleetcast.server=https://192.0.2.9:8443"
        " fleetcast.bootif=52:54:00:AA:bb:01 console=ttyS0,9600"
    )
    assert from_boot(line, TRUST) == Settings(
        server_url="https://192.0.2.9:8443",
        server_key=KEY,
        serial_consoles=("ttyS0",),
    )


def test_the_trust_file_alone_names_the_server() -> None:
    assert from_boot("quiet", TRUST).server_url == "https://192.0.2.1:8443"


def test_a_key_can_stand_on_the_command_line() -> None:
    assert from_boot(f"fleetcast.key={KEY.hex()}", None).server_key == KEY


def test_told_nothing_it_looks_for_any_server() -> None:
    assert from_boot('quiet "odd quote', None) == Settings()


def test_only_serial_ports_become_consoles() -> None:
    line = "console=tty0 console=../../etc/passwd console=ttyS1 console=hvc0"
    assert from_boot(line, None).serial_consoles == ("ttyS1", "hvc0")


@pytest.mark.parametrize(
    "trust",
    [b"", b"{", b"[]", b'{"url": "https://x"}', b'{"key": "00"}', b'{"key": ""}', b'{"key": 5}'],
)
def test_a_damaged_trust_file_is_no_trust_in_anyone(trust: bytes) -> None:
    with pytest.raises(Untrusted):
        read_trust(trust)
    with pytest.raises(Untrusted):
        from_boot("fleetcast.server=https://192.0.2.9", trust)


def test_a_damaged_key_on_the_command_line_is_refused() -> None:
    with pytest.raises(Untrusted, match="no server key"):
        from_boot("fleetcast.key=xyz", None)


MEDIUM = BootSettings(address="192.0.2.7/24", gateway="192.0.2.1", nic="eth1", server="https://m:8443")


def test_the_command_line_wins_over_the_medium() -> None:
    line = "fleetcast.address=198.51.100.7/24 fleetcast.vlan=42 fleetcast.nic=52-54-00-AA-BB-01"
    told = from_boot(line, None, medium=MEDIUM).told
    assert (told.address, told.vlan, told.nic) == ("198.51.100.7/24", 42, "52:54:00:aa:bb:01")
    assert told.gateway == "", "the medium's gateway belongs to the medium's address"
    assert from_boot("quiet", None, medium=MEDIUM).told == MEDIUM


def test_the_server_that_booted_us_goes_before_the_mediums() -> None:
    assert from_boot("quiet", None, medium=MEDIUM).server_url == "https://m:8443"
    assert from_boot("quiet", TRUST, medium=MEDIUM).server_url == "https://192.0.2.1:8443"
    with_key = BootSettings(server="https://m:8443", key=KEY.hex())
    assert from_boot("quiet", None, medium=with_key).server_key == KEY


def test_a_serial_console_of_the_medium_is_one() -> None:
    told = BootSettings(serial=("ttyS1,115200",))
    assert from_boot("console=ttyS0", None, medium=told).serial_consoles == ("ttyS0", "ttyS1")


def test_the_mode_is_a_cast_unless_told() -> None:
    assert from_boot("quiet", None).mode is Mode.CAST
    assert from_boot("fleetcast.mode=local", None).mode is Mode.LOCAL


@pytest.mark.parametrize(
    "line",
    [
        "fleetcast.address=192.0.2.7",
        "fleetcast.vlan=many",
        "fleetcast.vlan=4095",
        "fleetcast.gateway=192.0.2.1",
        "fleetcast.mode=loacl",
    ],
)
def test_a_word_that_can_be_nothing_is_refused(line: str) -> None:
    with pytest.raises(BadSettings):
        from_boot(line, None)
