"""What `udhcpc` is started with, and the script it calls with each lease."""

from __future__ import annotations

from pathlib import Path

SCRIPT = Path("/run/fleetcast/udhcpc-script")
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


def dhcp_command(interface: str, script: Path = SCRIPT) -> list[str]:
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
