"""``fleetcast-client boot``: what runs in the boot environment, on a machine that is ours to write."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from pathlib import Path

from castcore import __version__, bootsettings
from castcore.bootsettings import SETTINGS_FILE, BootSettings, Moment
from castcore.edge.commandline import Screen
from castcore.edge.disk.named import read_rules
from castcore.errors import FleetcastError

from castclient import retry
from castclient.bringup import BringUp
from castclient.console import open_consoles, plain_line
from castclient.hooks import Hooks
from castclient.journal import Journal
from castclient.keydesk import KeyDesk
from castclient.local.session import talk
from castclient.program import Client
from castclient.settings import RULES_FILE, TRUST_FILE, Mode, Settings, from_boot
from castclient.world import RealWorld

NAME = "boot"
HELP = "run in the boot environment: bring up the network, find the server, follow its orders"
EXAMPLE = "fleetcast-client boot"

_TERMINAL = "/dev/tty1"
# 0: the first process is told, and ours does nothing about it (proc(5)).
_CTRL_ALT_DEL = Path("/proc/sys/kernel/ctrl-alt-del")
# 0: no Alt+SysRq chord restarts, kills or unmounts anything.
_SYSRQ = Path("/proc/sys/kernel/sysrq")
_DEAF_TO = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)
_PAUSE_AFTER_ERROR = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It is told everything by the kernel command line and ``trust.json``."""
    del parser


def run(args: argparse.Namespace, screen: Screen) -> None:
    """Work until the machine restarts. Raises Untrusted when what it was told is damaged."""
    del args
    _let_no_key_end_a_write()
    journal = Journal()
    try:
        settings = _settings()
    except FleetcastError as error:
        screen.say(plain_line({"state": "failed", "message": error.what}))
        time.sleep(_PAUSE_AFTER_ERROR)  # init starts us again: not in a busy loop
        raise
    hooks = Hooks(journal.add)
    hooks.run(Moment.START)
    bringup = talk(settings, journal, _TERMINAL) if settings.mode is Mode.LOCAL else None
    desk = KeyDesk(settings)
    screens, lines = open_consoles(_TERMINAL, settings.serial_consoles, desk.lent)
    if bringup is None:
        bringup = BringUp(settings.told, journal.add)
        bringup.start()
    keyboards = (_TERMINAL, *(f"/dev/{name}" for name in settings.serial_consoles))
    world = RealWorld(settings, journal, keyboards, bringup=bringup, hooks=hooks)
    client = Client(__version__, world, journal, screens, retry.backing_off, lines)
    world.keys = desk.open(client, world)
    client.run(until=lambda _model: False)


def _let_no_key_end_a_write() -> None:
    """Neither Ctrl-C and its kin, nor Ctrl-Alt-Del and Alt-SysRq, which the kernel would obey."""
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    for switch in (_CTRL_ALT_DEL, _SYSRQ):
        with contextlib.suppress(OSError):
            switch.write_text("0")


def _settings() -> Settings:
    trust, rules = Path(TRUST_FILE), Path(RULES_FILE)
    return from_boot(
        Path("/proc/cmdline").read_text(errors="replace"),
        trust.read_bytes() if trust.exists() else None,
        read_rules(rules) if rules.exists() else (),
        _medium_settings(),
    )


def _medium_settings() -> BootSettings | None:
    """What the medium was made with. Raises BadSettings."""
    path = Path(SETTINGS_FILE)
    return bootsettings.parse(path.read_text(errors="replace")) if path.exists() else None
