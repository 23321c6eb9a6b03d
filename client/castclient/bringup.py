"""Every wired interface up at once, each with a DHCP client of its own that never gives up.

A port that waits for spanning tree forwards nothing for up to 60 s after the link is there, and some
links come late: so ``udhcpc`` is started on each interface at once and retries for ever. Interfaces
that appear later (a slow driver, a USB adapter) are brought up when they do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from castcore.edge import run
from castcore.edge.net import nics
from castcore.errors import DiskFailed, FleetcastError

LOOK_SECONDS = 2.0
RESTART_SECONDS = 5.0
_TIMEOUT = 10.0
_SCRIPT = Path("/run/fleetcast/udhcpc-script")
# udhcpc calls this with deconfig, bound, renew, leasefail or nak and the lease in the environment.
# A renewed lease must not take the address away for a moment: a cast is running over it.
_SCRIPT_TEXT = """#!/bin/busybox sh
ip() { busybox ip "$@"; }
case "$1" in
deconfig)
    # IPv4 alone: the link-local IPv6 address stays, a server may be found by it.
    ip -4 addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound|renew)
    if ! ip -4 addr show dev "$interface" | busybox grep -q "inet $ip/$mask "; then
        ip -4 addr flush dev "$interface"
        ip addr add "$ip/$mask" broadcast + dev "$interface"
    fi
    metric=$((100 + $(busybox cat "/sys/class/net/$interface/ifindex")))
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface" metric "$metric"
        break
    done
    if [ -n "$dns" ]; then
        for server in $dns; do echo "nameserver $server"; done > RESOLV_CONF
    fi
    ;;
esac
exit 0
"""


def dhcp_script(resolv_conf: Path = Path("/etc/resolv.conf")) -> str:
    """The script udhcpc calls; name servers go to ``resolv_conf``."""
    return _SCRIPT_TEXT.replace("RESOLV_CONF", str(resolv_conf))


def dhcp_command(interface: str, script: Path = _SCRIPT) -> list[str]:
    """udhcpc in the foreground: three quick tries, 5 s pause, over and over."""
    return [
        "busybox",
        "udhcpc",
        "-f",
        *("-i", interface),
        *("-s", str(script)),
        *("-t", "3", "-T", "3", "-A", "5"),
        *("-V", "fleetcast-client"),
    ]


class BringUp:
    """Keeps every wired interface up and asking for an address; ``say`` gets what happens."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._ended = threading.Event()
        self._keepers: dict[str, threading.Thread] = {}
        self._watcher = threading.Thread(target=self._watch, name="bring-up", daemon=True)

    def start(self) -> None:
        """Bring up what is there now, and go on watching. Raises DiskFailed without a place to write."""
        try:
            _SCRIPT.parent.mkdir(parents=True, exist_ok=True)
            _SCRIPT.write_text(dhcp_script())
            _SCRIPT.chmod(0o755)
        except OSError as error:
            raise DiskFailed(f"cannot write {_SCRIPT}: {error.strerror}") from None
        self._watcher.start()

    def stop(self) -> None:
        """End the DHCP clients; addresses stay."""
        self._ended.set()
        for thread in (self._watcher, *self._keepers.values()):
            thread.join()

    def _watch(self) -> None:
        while not self._ended.is_set():
            for nic in nics.wired():
                if nic.name not in self._keepers:
                    keeper = threading.Thread(
                        target=self._keep, args=(nic.name,), name=f"dhcp {nic.name}", daemon=True
                    )
                    self._keepers[nic.name] = keeper
                    keeper.start()
            self._ended.wait(LOOK_SECONDS)

    def _keep(self, interface: str) -> None:
        """Keep one interface up with a DHCP client on it; start it again if it ends."""
        said = ""
        while not self._ended.is_set():
            try:
                run.run(["busybox", "ip", "link", "set", interface, "up"], timeout=_TIMEOUT)
                said = self._once(f"{interface}: up, asking for an address", said)
                self._ask(interface)
            except FleetcastError as error:
                said = self._once(f"{interface}: {error.what}", said)
            self._ended.wait(RESTART_SECONDS)

    def _ask(self, interface: str) -> None:
        with (
            Path("/dev/null").open("wb") as null,
            run.started(dhcp_command(interface), merged=True, stdout=null) as client,
        ):
            while client.poll() is None and not self._ended.wait(1.0):
                pass

    def _once(self, text: str, before: str) -> str:
        if text != before:
            self._say(text)
        return text
