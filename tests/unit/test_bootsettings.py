"""What a medium tells its client: one text that both sides read alike, wrong values refused by name."""

from __future__ import annotations

import pytest
from castcore.bootsettings import BadSettings, BootSettings, Moment, hook_place, parse

KEY = "0123456789abcdef" * 4
ALL = BootSettings(
    address="192.0.2.7/24",
    gateway="192.0.2.1",
    vlan=42,
    nic="52:54:00:12:34:56",
    server="https://192.0.2.1:8443",
    key=KEY,
    keymap="de-latin1-nodeadkeys",
    serial=("ttyS0,115200", "ttyS1"),
    hooks=("done.d/10-beep", "start.d/20-fan"),
)


@pytest.mark.parametrize("settings", [ALL, BootSettings(), BootSettings(address="2001:db8::7/64")])
def test_what_is_written_is_read(settings: BootSettings) -> None:
    assert parse(settings.encode()) == settings


def test_what_is_not_told_is_not_written() -> None:
    assert BootSettings(vlan=7).encode() == "# Made by media-builder.\nvlan = 7\n"


def test_one_value_has_one_spelling() -> None:
    settings = BootSettings(
        nic="52-54-00-AB-CD-EF",
        key=KEY.upper(),
        server="https://192.0.2.1:8443/",
        serial=("ttyS0", "ttyS0"),
        hooks=("start.d/b", "done.d/a", "start.d/b"),
    )
    assert settings.nic == "52:54:00:ab:cd:ef"
    assert settings.key == KEY
    assert settings.server == "https://192.0.2.1:8443"
    assert settings.serial == ("ttyS0",)
    assert settings.hooks == ("done.d/a", "start.d/b")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('address = "192.0.2.7"', "prefix length"),
        ('address = "192.0.2.0/24"', "names a network"),
        ('address = "192.0.2.255/24"', "names a network"),
        ('address = "224.0.0.1/24"', "a group"),
        ('address = "fe80::1%eth0/64"', "prefix length"),
        ('address = "host/24"', "prefix length"),
        ('gateway = "192.0.2.1"', "needs an address"),
        ('address = "192.0.2.7/24"\ngateway = "198.51.100.1"', "not in the network"),
        ('address = "192.0.2.7/24"\ngateway = "2001:db8::1"', "not in the network"),
        ('address = "192.0.2.7/24"\ngateway = "router"', "no IP address"),
        ("vlan = 4095", "1 to 4094"),
        ("vlan = -1", "1 to 4094"),
        ('vlan = "7"', "takes a number"),
        ("vlan = true", "takes a number"),
        ('nic = "a card"', "neither a MAC"),
        ('nic = "an-interface-too-long"', "neither a MAC"),
        ('server = "http://192.0.2.1"', "no address of a cast server"),
        ('server = "https://"', "no address of a cast server"),
        ('server = "https://192.0.2.1:0"', "no address of a cast server"),
        ('server = "https://192.0.2.1:99999"', "no address of a cast server"),
        ('server = "https://me:secret@192.0.2.1"', "no address of a cast server"),
        ('server = "https://192.0.2.1/path"', "no address of a cast server"),
        ('server = "https://[::1"', "no address of a cast server"),
        (f'key = "{KEY[:-1]}"', "no server key"),
        (f'key = "{KEY[:-1]}g"', "no server key"),
        ('keymap = "../de"', "no keymap"),
        ('serial = "ttyS0"', "a list of texts"),
        ('serial = ["tty0"]', "no console"),
        ('serial = ["ttyS0,115200 init=/bin/sh"]', "no console"),
        ('hooks = ["start.d/../../init"]', "plain names"),
        ('hooks = ["boot.d/x"]', "hooks run at"),
        ("hooks = [1]", "a list of texts"),
        ('hook = ["start.d/x"]', "no setting 'hook'"),
        ("address", "no TOML"),
    ],
)
def test_wrong_values_are_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadSettings, match=named):
        parse(text)


def test_an_address_that_is_all_of_its_network() -> None:
    assert BootSettings(address="10.0.0.1/31").address == "10.0.0.1/31"
    assert BootSettings(address="10.0.0.1/32").address == "10.0.0.1/32"


def test_a_gateway_by_link_local_address() -> None:
    assert BootSettings(address="2001:db8::7/64", gateway="fe80::1").gateway == "fe80::1"


def test_where_a_hook_lies() -> None:
    assert hook_place(Moment.FAILED, "10-siren") == "failed.d/10-siren"
    with pytest.raises(BadSettings, match="plain names"):
        hook_place(Moment.START, "siren~")
