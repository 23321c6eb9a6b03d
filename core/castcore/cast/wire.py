"""Control datagrams of the cast on the wire: one layout and one pair of functions for each message.

The server signs what it says (Ed25519 by the session's key); a client's words carry a keyed BLAKE3
tag. Whatever is malformed, forged or of another session raises BadPacket and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from castcore.cast.chunkset import DIGEST_SIZE as SELECTION_SIZE
from castcore.cast.constants import ADVERTS_SIZE_MAX, NACKS_MAX, STRIPES_MAX, VERSION
from castcore.cast.messages import (
    Abort,
    Beacon,
    Bitmap,
    Feedback,
    FeedbackFlag,
    Fin,
    FinAck,
    Move,
    PacketType,
    ServerWord,
    StripeCounts,
)
from castcore.cast.states import ClientClass, Place, SenderState
from castcore.errors import BadPacket, Untrusted
from castcore.trust import DIGEST_SIZE, SIGNATURE_SIZE, SigningKey, keyed_tag, verify

TAG_SIZE = 16
PURPOSE = "cast control"


# vt, selection, stream, sender's state; session; beacon number; time us; pseq; head; closed; lap,
# clients; rate kB/s; feedback and status period ms; adverts; the selection's digest
_BEACON = struct.Struct(f">BBBBIIQIIIHHIHHH{SELECTION_SIZE}s")
# vt, class, client; session; number; stream, nacks, selection, flags; echo of beacon time us, its age
# us; seen pseq; received, lost in the network, dropped by the host, blocks shed, blocks had, chunks
# had; free buffer MiB, disk MB/s
_FEEDBACK = struct.Struct(">BBHIIBBBBQIIIIIIIIHH")
# vt, class, client; session; number; seen pseq; first block; bits, selection
_BITMAP = struct.Struct(">BBHIIIIHH")
# vt, place, client; session; number of the feedback
_MOVE = struct.Struct(">BBHII")
# vt, status, client; session; number; root; seed port
_FIN = struct.Struct(f">BBHII{DIGEST_SIZE}sH")
# vt, zero, client; session; number of the FIN
_FIN_ACK = struct.Struct(">BBHII")
# vt, reason, zero; session
_ABORT = struct.Struct(">BBHI")
# block, stripes; then one count per stripe
_ENTRY = struct.Struct(">IB")


def packet_type(packet: bytes) -> PacketType:
    """The type of a datagram of our version. Raises BadPacket."""
    if not packet or packet[0] >> 4 != VERSION:
        raise BadPacket("not a cast packet of version 1")
    try:
        return PacketType(packet[0] & 15)
    except ValueError:
        raise BadPacket(f"unknown cast packet type {packet[0] & 15}") from None


def encode_beacon(beacon: Beacon, key: SigningKey, size: int = 0) -> bytes:
    """The signed datagram, padded to ``size`` bytes; adverts beyond the size limit are left out."""
    adverts, count = b"", 0
    for entry in beacon.adverts:
        more = _ENTRY.pack(entry.block, len(entry.counts)) + entry.counts
        if len(adverts) + len(more) > ADVERTS_SIZE_MAX:
            break
        adverts, count = adverts + more, count + 1
    b = beacon
    head = _BEACON.pack(
        *(_vt(PacketType.BEACON), b.selection, 0, b.state.code, b.session, b.number, b.time_us),
        *(b.pseq, b.head, b.closed, b.lap & 0xFFFF, min(b.clients, 0xFFFF)),
        *(min(b.rate // 1000, 0xFFFFFFFF), b.feedback_ms, b.status_ms, count),
        b.selection_digest,
    )
    return _signed((head + adverts).ljust(size - SIGNATURE_SIZE, b"\0"), key)


def encode_feedback(feedback: Feedback, key: bytes) -> bytes:
    """The tagged datagram; at most NACKS_MAX entries travel."""
    f, nacks = feedback, feedback.nacks[:NACKS_MAX]
    head = _FEEDBACK.pack(
        *(_vt(PacketType.FEEDBACK), f.kind.code, f.client, f.session, f.number, 0, len(nacks)),
        *(f.selection, f.flags),
        *(f.echo_time_us, _u32(f.echo_delay_us), f.seen, _u32(f.received), _u32(f.net_lost)),
        *(_u32(f.host_drop), _u32(f.shed_blocks), _u32(f.have_blocks), _u32(f.chunks)),
        *(min(f.buffer_mib, 0xFFFF), min(f.disk_mbps, 0xFFFF)),
    )
    entries = b"".join(_ENTRY.pack(n.block, len(n.counts)) + n.counts for n in nacks)
    return _tagged(head + entries, key)


def encode_bitmap(bitmap: Bitmap, key: bytes) -> bytes:
    """The tagged datagram."""
    b = bitmap
    vt = _vt(PacketType.BITMAP)
    head = _BITMAP.pack(
        vt, b.kind.code, b.client, b.session, b.number, b.seen, b.base, b.count, b.selection
    )
    return _tagged(head + b.bits, key)


def encode_move(move: Move, key: SigningKey) -> bytes:
    """The signed datagram."""
    vt = _vt(PacketType.MOVE)
    return _signed(_MOVE.pack(vt, move.place.code, move.client, move.session, move.number), key)


def encode_fin(fin: Fin, key: bytes) -> bytes:
    """The tagged datagram."""
    vt = _vt(PacketType.FIN)
    head = _FIN.pack(vt, 0, fin.client, fin.session, fin.number, fin.root, fin.seed_port)
    return _tagged(head, key)


def encode_fin_ack(ack: FinAck, key: SigningKey) -> bytes:
    """The signed datagram."""
    vt = _vt(PacketType.FIN_ACK)
    return _signed(_FIN_ACK.pack(vt, 0, ack.client, ack.session, ack.number), key)


def encode_abort(abort: Abort, key: SigningKey) -> bytes:
    """The signed datagram."""
    return _signed(_ABORT.pack(_vt(PacketType.ABORT), 0, 0, abort.session), key)


def open_from_server(packet: bytes, session: int, public: bytes) -> ServerWord:
    """What the server of ``session`` said. Raises BadPacket, also for a wrong signature."""
    kind = packet_type(packet)
    body = packet[:-SIGNATURE_SIZE]
    if len(packet) < SIGNATURE_SIZE + _ABORT.size or body[4:8] != session.to_bytes(4, "big"):
        raise BadPacket("a control packet of another session, or cut short")
    readers: dict[PacketType, Callable[[bytes], ServerWord]] = {
        PacketType.BEACON: _read_beacon,
        PacketType.MOVE: _read_move,
        PacketType.FIN_ACK: _read_fin_ack,
        PacketType.ABORT: lambda b: Abort(_unpack(_ABORT, b, exact=True)[3]),
    }
    if kind not in readers:
        raise BadPacket(f"a server does not say {kind.name}")
    value = readers[kind](body)
    try:
        verify(public, PURPOSE, body, packet[-SIGNATURE_SIZE:])
    except Untrusted as error:
        raise BadPacket(error.what) from None
    return value


def open_from_client(
    packet: bytes, session: int, key_of: Callable[[int], bytes | None]
) -> Feedback | Bitmap | Fin:
    """What a client of ``session`` said; ``key_of`` gives the key of a client number.

    Raises BadPacket, also for an unknown client or a wrong tag.
    """
    kind = packet_type(packet)
    body = packet[:-TAG_SIZE]
    if len(packet) < TAG_SIZE + 8 or body[4:8] != session.to_bytes(4, "big"):
        raise BadPacket("a control packet of another session, or cut short")
    key = key_of(int.from_bytes(body[2:4], "big"))
    if key is None or keyed_tag(key, body, TAG_SIZE) != packet[-TAG_SIZE:]:
        raise BadPacket("feedback of an unknown client, or with a wrong tag")
    readers: dict[PacketType, Callable[[bytes], Feedback | Bitmap | Fin]] = {
        PacketType.FEEDBACK: _read_feedback,
        PacketType.BITMAP: _read_bitmap,
        PacketType.FIN: _read_fin,
    }
    if kind not in readers:
        raise BadPacket(f"a client does not say {kind.name}")
    return readers[kind](body)


def _read_beacon(body: bytes) -> Beacon:
    fields = _unpack(_BEACON, body)
    _, selection, _, state, session, number, time_us, pseq, head, closed, lap, clients = fields[:12]
    rate, fb, status, n, selected = fields[12:]
    adverts = _entries(body[_BEACON.size :], n, padded=True)
    return Beacon(
        *(session, number, SenderState.from_code(state), time_us, pseq, head, closed, lap, clients),
        *(rate * 1000, fb, status, adverts, selection, selected),
    )


def _read_feedback(body: bytes) -> Feedback:
    fields = _unpack(_FEEDBACK, body)
    _, kind, client, session, number, _, nacks, selection, flags = fields[:9]
    entries = _entries(body[_FEEDBACK.size :], nacks)
    known = FeedbackFlag(flags & (FeedbackFlag.LEAK | FeedbackFlag.SHEDDING | FeedbackFlag.HDD))
    kind = ClientClass.from_code(kind)
    made = Feedback(client, session, number, kind, known, *fields[9:])
    return replace(made, nacks=entries, selection=selection)


def _read_bitmap(body: bytes) -> Bitmap:
    _, kind, client, session, number, seen, base, count, selection = _unpack(_BITMAP, body)
    bits = body[_BITMAP.size :]
    if len(bits) != -(-count // 8):
        raise BadPacket(f"a bitmap of {count} blocks with {len(bits)} bytes")
    kind = ClientClass.from_code(kind)
    return Bitmap(client, session, number, kind, seen, base, count, bits, selection)


def _read_fin(body: bytes) -> Fin:
    _, _, client, session, number, root, port = _unpack(_FIN, body, exact=True)
    return Fin(client, session, number, root, port)


def _read_move(body: bytes) -> Move:
    _, place, client, session, number = _unpack(_MOVE, body, exact=True)
    return Move(client, session, number, Place.from_code(place))


def _read_fin_ack(body: bytes) -> FinAck:
    _, _, client, session, number = _unpack(_FIN_ACK, body, exact=True)
    return FinAck(client, session, number)


def _entries(data: bytes, count: int, *, padded: bool = False) -> tuple[StripeCounts, ...]:
    entries, at = [], 0
    for _ in range(count):
        block, stripes = _unpack(_ENTRY, data[at:])
        at += _ENTRY.size + stripes
        if not 0 < stripes <= STRIPES_MAX or at > len(data):
            raise BadPacket("a stripe list is cut short, or has too many stripes")
        entries.append(StripeCounts(block, data[at - stripes : at]))
    if at != len(data) and not (padded and not data[at:].strip(b"\0")):
        raise BadPacket("bytes after the last stripe list")
    return tuple(entries)


def _unpack(layout: struct.Struct, body: bytes, *, exact: bool = False) -> tuple[Any, ...]:
    if len(body) < layout.size or (exact and len(body) != layout.size):
        raise BadPacket(f"{len(body)} bytes where {layout.size} belong")
    return layout.unpack_from(body)


def _vt(kind: PacketType) -> int:
    return VERSION << 4 | kind


def _u32(count: int) -> int:
    return min(count, 0xFFFFFFFF)


def _signed(body: bytes, key: SigningKey) -> bytes:
    return body + key.sign(PURPOSE, body)


def _tagged(body: bytes, key: bytes) -> bytes:
    return body + keyed_tag(key, body, TAG_SIZE)
