"""UDP sockets of a cast: many datagrams a system call where the kernel can, one where it cannot.

Linux only: UDP_SEGMENT and UDP_GRO (udp(7)), SO_RXQ_OVFL, membership by interface index (ip(7),
ipv6(7)).
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from dataclasses import dataclass

from castcore.cast.constants import BURST_BYTES_MAX
from castcore.edge.net.interface import Interface
from castcore.edge.net.portholder import holder
from castcore.errors import NetworkFailed, PortTaken

SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
SO_RXQ_OVFL = 40
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

# What waits in the kernel bridges the moments in which a busy machine does not run us, and delays
# repairs and beacons: so long (s) of what was sent in the last period (s), within bounds (bytes; the
# kernel doubles them, for its own overhead).
SEND_BUFFER_SECONDS, SEND_BUFFER_PERIOD = 0.05, 0.1
SEND_BUFFER_MIN, SEND_BUFFER_MAX = 512 << 10, 8 << 20
DATA_BUFFER = 64 << 20
FEEDBACK_BUFFER = 8 << 20
MESSAGE_MAX = 65536
# One look at the socket: enough to spread the cost of numpy calls, small enough for a CPU's cache.
BATCH_SIZE = 16 * 45 * 1452
BATCH_MESSAGES = 512
# With this much in the kernel, a reader may let datagrams gather for a millisecond at 10 Gbit/s.
DEEP_BUFFER = 8 << 20
# What the kernel answers when a device, a route or its own age does not allow segmentation.
_NO_SEGMENTATION = (errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP)
_MREQN = struct.Struct("=4s4si")
_MREQ6 = struct.Struct("=16sI")
_ENOBUFS_PAUSE = 0.001
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
_IPV6_DONTFRAG = 62
# Lower Effort (RFC 8622): what anybody else sends goes first where a network knows of classes.
DSCP_LOWER_EFFORT = 1


class GroupSender:
    """Sends to one group through one interface; ``segmenting`` tells whether GSO is in use."""

    def __init__(
        self,
        interface: Interface,
        group: str,
        port: int,
        *,
        ttl: int,
        loop: bool,
        segment: int,
        offload: bool = True,
        dscp: int = 0,
    ) -> None:
        self._segment = segment
        self._sent, self._measured_at = 0, time.monotonic()
        self._socket = socket.socket(interface.family, socket.SOCK_DGRAM)
        try:
            self._buffer(SEND_BUFFER_MIN)
            prepare = _prepare_ipv6 if interface.family is socket.AF_INET6 else _prepare_ipv4
            prepare(self._socket, interface, ttl, loop=loop, dscp=dscp)
            self._socket.bind(interface.reach(interface.address, 0))
            self._socket.connect((group, port))
        except OSError as error:
            self._socket.close()
            raise NetworkFailed(
                f"cannot send to {group} through {interface.name}: {error.strerror}"
            ) from None
        self.segmenting = offload and self._set_segment(segment)

    def burst(self, packets: memoryview) -> None:
        """Send back-to-back datagrams of the segment's size each."""
        most = BURST_BYTES_MAX // self._segment if self.segmenting else 1
        size = most * self._segment
        for at in range(0, len(packets), size):
            self._send_some(packets[at : at + size])
        self._sent += len(packets)
        passed = time.monotonic() - self._measured_at
        if passed >= SEND_BUFFER_PERIOD:
            wanted = int(self._sent / passed * SEND_BUFFER_SECONDS)
            self._buffer(min(max(wanted, SEND_BUFFER_MIN), SEND_BUFFER_MAX))
            self._sent, self._measured_at = 0, self._measured_at + passed

    def _buffer(self, size: int) -> None:
        _set_buffer(self._socket, socket.SO_SNDBUF, SO_SNDBUFFORCE, size)

    def _send_some(self, packets: memoryview) -> None:
        """Send as many datagrams as one call takes."""
        try:
            self._send(packets)
        except OSError as error:
            if not self.segmenting or error.errno not in _NO_SEGMENTATION:
                raise
            self._set_segment(0)
            self.segmenting = False
            self.burst(packets)

    def control(self, packet: bytes) -> None:
        """Send one datagram, smaller than the segment."""
        self._send(memoryview(packet))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, data: memoryview) -> None:
        while True:
            try:
                self._socket.send(data)
                return
            except OSError as error:
                # A full device queue is back-pressure, not loss.
                if error.errno != errno.ENOBUFS:
                    raise
                time.sleep(_ENOBUFS_PAUSE)

    def _set_segment(self, size: int) -> bool:
        try:
            self._socket.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Batch:
    """What was waiting: ``data`` is back-to-back datagrams of the segment's size, ``others`` all else.

    ``data`` is valid until the next call. ``messages``: how many the kernel handed over (coalesced
    datagrams are one); ``dropped``: messages it threw away since the last call; ``more`` may wait.
    """

    data: memoryview
    others: tuple[bytes, ...]
    messages: int
    dropped: int
    more: bool


class GroupReceiver:
    """Receives from one group through one interface; ``segment`` is the size of a data datagram.

    ``deep``: the kernel keeps enough for a reader that looks only now and then.
    """

    def __init__(
        self, interface: Interface, group: str, port: int, *, segment: int, offload: bool = True
    ) -> None:
        self.socket = socket.socket(interface.family, socket.SOCK_DGRAM)
        self._interface, self._group, self._segment = interface, group, segment
        self._dropped = 0
        self._buffer = memoryview(bytearray(BATCH_SIZE + MESSAGE_MAX))
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _set_buffer(self.socket, socket.SO_RCVBUF, SO_RCVBUFFORCE, DATA_BUFFER)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            if offload:
                _try_option(self.socket, SOL_UDP, UDP_GRO)
            self.socket.bind((group, port))
            self.enter()
        except OSError as error:
            self.socket.close()
            raise NetworkFailed(
                f"cannot receive {group} port {port} on {interface.name}: {error.strerror}"
            ) from None
        self.socket.setblocking(False)  # noqa: FBT003 (the socket module's own signature)
        self.deep = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= DEEP_BUFFER

    def enter(self) -> None:
        """Be a member of the group again. Raises OSError when the link is down."""
        _membership(self.socket, self._interface, self._group, member=True)

    def leave(self) -> None:
        """Be no member any more: a switch that snoops then spares our port."""
        _membership(self.socket, self._interface, self._group, member=False)

    def receive(self) -> Batch:
        """The datagrams that are waiting, up to a megabyte of data."""
        at = messages = dropped = 0
        others: list[bytes] = []
        while at < BATCH_SIZE and messages < BATCH_MESSAGES:
            try:
                size, notes, _, _ = self.socket.recvmsg_into([self._buffer[at : at + MESSAGE_MAX]], 64)
            except OSError:  # nothing waiting, or the link went down: silence is noticed elsewhere
                return Batch(self._buffer[:at], tuple(others), messages, dropped, more=False)
            messages += 1
            segment = size
            for level, kind, value in notes:
                if level == SOL_UDP and kind == UDP_GRO:
                    segment = int.from_bytes(value[:4], "little", signed=True)
                elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                    dropped += self._newly_dropped(int.from_bytes(value[:4], "little"))
            end = at + size
            if segment == self._segment:
                at += size // segment * segment
                segment = size % segment
            if at < end:
                others += _cut(self._buffer[at:end], segment)
        return Batch(self._buffer[:at], tuple(others), messages, dropped, more=True)

    def _newly_dropped(self, total: int) -> int:
        newly, self._dropped = (total - self._dropped) % (1 << 32), total
        return newly


def _cut(data: memoryview, segment: int) -> list[bytes]:
    return [bytes(data[i : i + segment]) for i in range(0, len(data), segment)]


def feedback_listener(interface: Interface, port: int) -> socket.socket:
    """The sender's socket for what clients say. Raises PortTaken or NetworkFailed."""
    listener = socket.socket(interface.family, socket.SOCK_DGRAM)
    try:
        listener.bind(interface.reach(interface.address, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise NetworkFailed(f"UDP port {port} on {interface.address}: {error.strerror}") from None
        raise PortTaken(
            f"UDP port {port} is taken by {holder('udp', port) or 'another program'}",
            hint="stop that program, or cast on another port",
        ) from None
    _set_buffer(listener, socket.SO_RCVBUF, SO_RCVBUFFORCE, FEEDBACK_BUFFER)
    return listener


def _prepare_ipv4(sock: socket.socket, interface: Interface, ttl: int, *, loop: bool, dscp: int) -> None:
    via = _MREQN.pack(bytes(4), socket.inet_aton(interface.address), interface.index)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, via)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
    # A lost fragment would cost the whole datagram: what does not fit is an error.
    sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)


def _prepare_ipv6(sock: socket.socket, interface: Interface, ttl: int, *, loop: bool, dscp: int) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)


def _membership(sock: socket.socket, interface: Interface, group: str, *, member: bool) -> None:
    octets = socket.inet_pton(interface.family, group)
    if interface.family is socket.AF_INET6:
        change = socket.IPV6_JOIN_GROUP if member else socket.IPV6_LEAVE_GROUP
        sock.setsockopt(socket.IPPROTO_IPV6, change, _MREQ6.pack(octets, interface.index))
        return
    request = _MREQN.pack(octets, socket.inet_aton(interface.address), interface.index)
    change = socket.IP_ADD_MEMBERSHIP if member else socket.IP_DROP_MEMBERSHIP
    sock.setsockopt(socket.IPPROTO_IP, change, request)


def _set_buffer(sock: socket.socket, plain: int, forced: int, size: int) -> None:
    if not _try_option(sock, socket.SOL_SOCKET, forced, size):
        sock.setsockopt(socket.SOL_SOCKET, plain, size)


def _try_option(sock: socket.socket, level: int, option: int, value: int = 1) -> bool:
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True
