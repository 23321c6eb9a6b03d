"""What the kernel command line and trust.json tell the client."""

from __future__ import annotations

import json

import pytest
from castclient.settings import Settings, from_boot, read_trust
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
