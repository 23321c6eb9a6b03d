"""QEMU's control socket (QMP): orders to a running virtual PC."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from castcore.errors import NetworkFailed

ANSWER_SECONDS = 10.0


def execute(path: Path, command: str, **arguments: Any) -> Any:
    """Give ``command`` to the PC whose socket is ``path``; return its answer. Raises NetworkFailed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            _connect(connection, path)
            with connection.makefile("rwb") as stream:
                stream.readline()  # the greeting
                _ask(stream, "qmp_capabilities", {})
                return _ask(stream, command, arguments)
        except OSError as error:
            raise NetworkFailed(f"QEMU at {path} does not answer: {error}") from error


def _connect(connection: socket.socket, path: Path) -> None:
    """By the folder's descriptor: a socket's path has at most 107 bytes, and a folder may lie deeper."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _ask(stream: Any, command: str, arguments: dict[str, Any]) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    for line in stream:
        answer = json.loads(line)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise NetworkFailed(f"QEMU refused {command}: {answer['error'].get('desc')}")
    raise NetworkFailed(f"QEMU closed its control socket during {command}")
