"""Options and recipe of a medium, and the initrd that carries what they say."""

from __future__ import annotations

import argparse
import stat
from pathlib import Path

import pytest
from castcore.bootsettings import BadSettings, BootSettings, Moment, parse
from castcore.errors import NotFound, Refused
from castmedia import mediarecipe, settingsoptions
from castmedia.commands import clientmedia
from castmedia.recipe import Profile
from castmedia.settingsoptions import Choices, ExtraFile, Hook, archive
from castmedia.stages import options_of

from tests.support.newcreader import parsed

KEY = "ab" * 32
RECIPE = f"""
output = "out/client.iso"
profile = "vm"
mirror = "file:///mirror"
refresh = true
extra-cmdline = "nomodeset"
address = "192.0.2.7/24"
gateway = "192.0.2.1"
vlan = 7
nic = "eno1"
server = "https://192.0.2.1:8443"
trust = "{KEY}"
keymap = "de"
serial = ["ttyS0,115200", "ttyS1"]
file = ["/etc/motd=motd.txt"]
hook = ["start=fan.sh"]
"""


def arguments(*words: str) -> argparse.Namespace:
    """What the command gets from ``words`` and the recipe that they name."""
    parser = argparse.ArgumentParser()
    clientmedia.add_arguments(parser)
    args = parser.parse_args(words)
    mediarecipe.apply(args, clientmedia.add_arguments)
    return args


def recipe(folder: Path, text: str) -> str:
    for name in ("motd.txt", "fan.sh"):
        (folder / name).write_text(name)
    path = folder / "medium.toml"
    path.write_text(text)
    return str(path)


def test_a_recipe_says_all_that_the_options_say(tmp_path: Path) -> None:
    given = arguments("--recipe", recipe(tmp_path, RECIPE))
    options = ["--output", str(tmp_path / "out/client.iso"), "--profile", "vm"]
    options += ["--mirror", "file:///mirror", "--refresh", "--extra-cmdline", "nomodeset"]
    options += ["--address", "192.0.2.7/24", "--gateway", "192.0.2.1", "--vlan", "7", "--nic", "eno1"]
    options += ["--server", "https://192.0.2.1:8443", "--trust", KEY, "--keymap", "de"]
    options += ["--serial", "ttyS0,115200", "--serial", "ttyS1"]
    options += ["--file", f"/etc/motd={tmp_path}/motd.txt", "--hook", f"start={tmp_path}/fan.sh"]
    spelled = arguments(*options)
    assert vars(given) | {"recipe": None} == vars(spelled)
    assert settingsoptions.chosen(given).settings == BootSettings(
        address="192.0.2.7/24",
        gateway="192.0.2.1",
        vlan=7,
        nic="eno1",
        server="https://192.0.2.1:8443",
        key=KEY,
        keymap="de",
        serial=("ttyS0,115200", "ttyS1"),
        hooks=("start.d/fan.sh",),
    )


def test_the_command_line_goes_before_the_recipe(tmp_path: Path) -> None:
    path = recipe(tmp_path, RECIPE)
    given = arguments("--recipe", path, "--vlan", "9", "--profile", "full", "--serial", "hvc0")
    settings = settingsoptions.chosen(given).settings
    assert (settings.vlan, settings.serial, settings.nic) == (9, ("hvc0",), "eno1")
    assert options_of(given).profile is Profile.FULL
    given = arguments("--recipe", path, "--vlan", "0")
    assert settingsoptions.chosen(given).settings.vlan == 0


def test_without_options_nothing_is_said() -> None:
    assert settingsoptions.chosen(arguments("--output", "x.iso")).says_nothing


@pytest.mark.parametrize(
    ("text", "told", "advised"),
    [
        ('adress = "192.0.2.7/24"', "unknown key 'adress'", "'address'"),
        ("json = true", "unknown key 'json'", ""),
        ('xyzzy = "y"', "unknown key 'xyzzy'", "it may have address, "),
        ("[network]\nvlan = 3", "unknown key 'network'", ""),
        ('vlan = "3"', "vlan takes a number", ""),
        ("vlan = true", "vlan takes a number", ""),
        ("refresh = 1", "refresh takes true or false", ""),
        ('serial = "ttyS0"', "serial takes a list", ""),
        ("serial = [1]", "serial takes a text", ""),
        ('profile = "small"', "profile cannot be 'small'", "full, vm"),
        ("vlan = ", "no TOML", ""),
    ],
)
def test_a_wrong_recipe_is_refused_by_key(tmp_path: Path, text: str, told: str, advised: str) -> None:
    with pytest.raises(BadSettings, match=told) as error:
        arguments("--recipe", recipe(tmp_path, text))
    assert advised in error.value.hint


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        arguments("--recipe", str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--hook", "boot=/bin/true"), "no MOMENT=FILE"),
        (("--hook", "start"), "no MOMENT=FILE"),
        (("--hook", "start=/"), "a folder"),
        (("--file", "etc/motd=/bin/true"), "no PLACE=FILE"),
        (("--file", "/etc/motd"), "no PLACE=FILE"),
        (("--vlan", "5000"), "1 to 4094"),
        (("--trust", "abc"), "no server key"),
    ],
)
def test_wrong_options_are_refused(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(BadSettings, match=told):
        settingsoptions.chosen(arguments(*words))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for option in (f"--file=/x={tmp_path}/none", f"--hook=start={tmp_path}/none"):
        with pytest.raises(NotFound, match="does not exist"):
            settingsoptions.chosen(arguments(option))


def test_no_output_is_told() -> None:
    with pytest.raises(Refused, match="no output"):
        mediarecipe.output_of(arguments())


def _script(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_archive_carries_everything(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    program = _script(folder / "tool")
    (folder / "text").write_text("text")
    hook = Hook(Moment.START, _script(tmp_path / "fan.sh"))
    settings = BootSettings(vlan=3, keymap="de")
    data = archive(
        settings, [ExtraFile("/bin", folder), ExtraFile("/etc/x", program)], [hook], keymap=b"map"
    )
    members = {name: (mode, content) for name, mode, content, _ in parsed(data)}
    assert parse(members["etc/fleetcast/settings.toml"][1].decode()) == BootSettings(
        vlan=3, keymap="de", hooks=("start.d/fan.sh",)
    )
    assert members["etc/fleetcast/keymap"][1] == b"map"
    assert members["etc/fleetcast/hooks/start.d/fan.sh"] == (stat.S_IFREG | 0o755, b"#!/bin/sh\n")
    # /bin is a link in the boot image: a folder of that name would take its place.
    assert members["usr/bin/tool"] == (stat.S_IFREG | 0o755, b"#!/bin/sh\n")
    assert members["usr/bin/text"] == (stat.S_IFREG | 0o644, b"text")
    assert members["etc/x"][0] == stat.S_IFREG | 0o755
    assert "bin" not in members
    assert len(data) % 512 == 0


def test_folders_come_before_what_is_in_them(tmp_path: Path) -> None:
    file = _script(tmp_path / "f")
    names = [name for name, *_ in parsed(archive(BootSettings(), [ExtraFile("/a/b/c/f", file)]))]
    assert all(name.rpartition("/")[0] in {"", *names[:n]} for n, name in enumerate(names))


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    one, other = _script(tmp_path / "1/f"), _script(tmp_path / "2/f")
    other.touch()
    files = [[ExtraFile("/opt/f", path), ExtraFile("/opt/e", path)] for path in (one, other)]
    assert archive(BootSettings(), files[0]) == archive(BootSettings(), files[1][::-1])


@pytest.mark.parametrize(
    "place", ["/", "/etc/../init", "/etc/fleetcast/settings.toml", "/etc/fleetcast/trust.json"]
)
def test_what_is_not_an_extra_files_place(tmp_path: Path, place: str) -> None:
    with pytest.raises(BadSettings, match="no extra file"):
        archive(BootSettings(), [ExtraFile(place, _script(tmp_path / "f"))])


def test_two_hooks_of_one_name_are_refused(tmp_path: Path) -> None:
    hooks = [f"--hook=start={_script(tmp_path / folder / 'x')}" for folder in ("1", "2")]
    with pytest.raises(BadSettings, match="the same name"):
        settingsoptions.chosen(arguments(*hooks))
    assert Choices(BootSettings()).says_nothing
