"""Somebody beside the receivers of a real cast who forges and replays; for namespaces.

    python -m tests.support.castforger --interface wire0 --address 10.9.0.12 --seconds 20

It hears the group like a receiver, joins nothing and has no key. Prints how much it forged.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import time

import numpy as np
from castcore.cast import messages, wire
from castcore.cast.data import datagram
from castcore.cast.states import SenderState
from castcore.trust import SigningKey

from tests.support.castpeer import DATA_PORT, GROUP

SERVER = "10.9.0.1"
PAUSE = 0.004


class Forger:
    """What one datagram that was heard is good for."""

    def __init__(self, address: str) -> None:
        self._random = random.Random(1)
        self._key = SigningKey.generate()
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._out.bind((address, 0))
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._beacons: list[bytes] = []
        self._session = 0
        self.forged = 0

    def hear(self, packet: bytes) -> None:
        """Poison what comes next; now and then replay a beacon, forge an abort and feedback."""
        if packet[0] & 15 != messages.PacketType.DATA:
            self._beacons.append(packet)
            return
        data = np.frombuffer(packet, datagram()).copy()
        head = data["header"]
        self._session = int(head["session"][0])
        data["symbol"] = np.frombuffer(self._random.randbytes(1424), np.uint8)
        # A row of its stripe that is still to come, however late this was heard: up to 40 rows, some
        # hundred packets, ahead of the true ones.
        ahead = self._random.randint(2, 40)
        head["row"] = min(int(head["row"][0]) + ahead, 191)
        head["pseq"] += 16 * ahead
        self._to_group(data.tobytes())
        head["block"] += 40
        head["pseq"] += self._random.choice([100_000, 1_000_000])
        self._to_group(data.tobytes())
        if self.forged % 10 == 0:
            self._control()

    def _control(self) -> None:
        beacon = messages.Beacon(
            *(self._session, 1 << 30, SenderState.CLOSED, 0, 1 << 31, 1 << 20, 1 << 20, 9, 0, 1 << 40),
            *(60_000, 60_000),
        )
        self._to_group(wire.encode_abort(messages.Abort(self._session), self._key))
        self._to_group(wire.encode_beacon(beacon, self._key))
        if self._beacons:
            self._to_group(self._random.choice(self._beacons))
        for client in range(1, 4):
            fin = messages.Fin(client, self._session, 1, bytes(32))
            self._out.sendto(wire.encode_fin(fin, bytes(32)), (SERVER, DATA_PORT + 1))
        self._out.sendto(self._random.randbytes(200), (SERVER, DATA_PORT + 1))

    def _to_group(self, packet: bytes) -> None:
        self._out.sendto(packet, (GROUP, DATA_PORT))
        self.forged += 1


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--address", required=True)
    options.add_argument("--seconds", type=float, required=True)
    args = options.parse_args()
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # A short queue: what it hears is of now.
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    ear.bind((GROUP, DATA_PORT))
    member = socket.inet_aton(GROUP) + socket.inet_aton(args.address)
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    ear.settimeout(0.2)
    forger, end = Forger(args.address), time.monotonic() + args.seconds
    print(json.dumps({"event": "ready"}), flush=True)
    while time.monotonic() < end:
        try:
            forger.hear(ear.recv(2048))
        except TimeoutError:
            continue
        time.sleep(PAUSE)
        print(json.dumps({"event": "forged", "packets": forger.forged}), flush=True)


if __name__ == "__main__":
    main()
