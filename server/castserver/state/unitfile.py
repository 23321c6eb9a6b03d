"""The systemd unit of a server, as text (systemd.service(5), systemd.exec(5))."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# What a server needs of root: raw sockets, ports below 1024, mounts of media, and who has a port that is
# taken (SYS_PTRACE: proc(5), of /proc/PID/fd).
CAPABILITIES = (
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_ADMIN",
    "CAP_DAC_OVERRIDE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_PTRACE",
)


def unit(command: Sequence[str], writes: Sequence[str], may_write: Sequence[str] = ()) -> str:
    """The unit that runs ``command``, which writes below the directories ``writes``, made if need be.

    And below ``may_write``, as far as they are there.
    """
    opened = [*writes, *(f"-{path}" for path in may_write)]
    return f"""\
[Unit]
Description=Fleetcast: casts system images to the machines of this network
Documentation=https://127.0.0.1:8443/docs
Wants=network-online.target
After=network-online.target

[Service]
ExecStartPre=+{_line(["/bin/mkdir", "-p", "--", *writes])}
ExecStart={_line(command)}
Restart=on-failure
RestartSec=2
KillSignal=SIGINT
KillMode=mixed
TimeoutStopSec=30
UMask=0077
LimitNOFILE=65536
NoNewPrivileges=yes
CapabilityBoundingSet={" ".join(CAPABILITIES)}
ProtectHome=read-only
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
ReadWritePaths={" ".join(map(_quoted, opened))}

[Install]
WantedBy=multi-user.target
"""


def _line(command: Sequence[str]) -> str:
    # Only in commands systemd expands "$" as well, whatever the quotes.
    return " ".join(_quoted(word).replace("$", "$$") for word in command)


def _quoted(word: str) -> str:
    """``word`` as one word (systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers")."""
    text = word.replace("%", "%%")
    if shlex.quote(word) == word:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
