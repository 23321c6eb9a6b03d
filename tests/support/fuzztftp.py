"""Hostile TFTP: requests and what follows, of a word list and plain noise, by a seeded generator."""

from __future__ import annotations

import random

NAMES = (
    b"shimx64.efi",
    b"/shimx64.efi",
    b"\\grub\\grub.cfg",
    b"grub//grub.cfg",
    b"undionly.kpxe",
    b"grubx64.efi",
    b"../shimx64.efi",
    b"../../../../etc/passwd",
    b"/etc/passwd",
    b"..\\..\\etc\\passwd",
    b"%2e%2e/etc/passwd",
    b"grub/../../tree.json",
    b"tree.json",
    b"./kernel",
    b"shimx64.efi/",
    b"shimx64.efi\xff",
    b"",
    b"a" * 400,
    b"/proc/self/mem",
)
MODES = (b"octet", b"octet", b"octet", b"OCTET", b"netascii", b"mail", b"", b"octets", b"\xff")
OPTIONS = (
    b"blksize",
    b"BlkSize",
    b"tsize",
    b"timeout",
    b"windowsize",
    b"multicast",
    b"rollover",
    b"",
    b"\xff\xfe",
    b"x" * 60,
)
VALUES = (
    b"0",
    b"7",
    b"8",
    b"512",
    b"1468",
    b"65464",
    b"65465",
    b"-1",
    b"x",
    b"",
    b"99999999999",
    b"1 ",
    b"\xb2",
)


class TftpFuzz:
    """Makes requests, and packets for a transfer that came of one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def request(self) -> bytes:
        """A datagram for port 69."""
        pick = self.random
        kind = pick.random()
        if kind < 0.05:
            return pick.randbytes(pick.randrange(80))
        opcode = pick.choice((1, 1, 1, 1, 1, 1, 2, pick.randrange(9)))
        name = pick.choice(NAMES[:6]) if pick.random() < 0.6 else pick.choice(NAMES)
        words = [name, pick.choice(MODES)]
        for _ in range(pick.randrange(5)):
            words += [pick.choice(OPTIONS), pick.choice(VALUES)]
        if kind < 0.12:
            del words[pick.randrange(len(words)) :]
        data = bytearray(opcode.to_bytes(2, "big") + b"\0".join(words) + b"\0")
        if kind < 0.20:
            data[pick.randrange(len(data))] = pick.randrange(256)
        elif kind < 0.24:
            del data[pick.randrange(len(data)) :]
        return bytes(data)

    def follow(self, block: int) -> bytes:
        """What a strange client sends after ``block`` (0: an OACK); most often a good ACK."""
        pick = self.random
        kind = pick.random()
        if kind < 0.50:
            return b"\0\4" + block.to_bytes(2, "big")
        if kind < 0.75:
            return b"\0\5" + pick.randrange(10).to_bytes(2, "big") + b"enough\0"
        if kind < 0.85:
            return b"\0\4" + pick.randrange(65536).to_bytes(2, "big")
        if kind < 0.95:
            return pick.choice(
                (b"\0\3\0\1data", b"\0\6tsize\0" + b"9\0", b"\0\1x\0octet\0", b"\0\4", b"", b"\0")
            )
        return pick.randbytes(pick.randrange(40))

    def ending(self) -> bytes:
        """The packet by which a client ends a transfer."""
        return b"\0\5\0\0enough\0"
