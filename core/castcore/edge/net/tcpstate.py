"""What the kernel knows of a TCP connection (tcp(7))."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
import time

_LOOK_SECONDS = 0.02
# The first byte of struct tcp_info, and the states in which the peer still acknowledges (linux/tcp.h).
_ALIVE = (1, 8)  # ESTABLISHED, CLOSE_WAIT


def acknowledged(connection: socket.socket, seconds: float) -> bool:
    """Wait until the peer's kernel has everything that was sent, at most ``seconds``; whether it has.

    A send returns when our own kernel has the bytes, where megabytes may wait for a peer that is gone.
    """
    end = time.monotonic() + seconds
    while _unacknowledged(connection):
        if not _alive(connection) or time.monotonic() > end:
            return False
        time.sleep(_LOOK_SECONDS)
    # Firmware may reset the connection as soon as it has all: what it acknowledged still counts.
    return True


def _alive(connection: socket.socket) -> bool:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] in _ALIVE


def _unacknowledged(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])
