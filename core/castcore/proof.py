"""How a client proves, with every request, that it is the one that registered.

Its token alone is worth nothing: each request carries a signature by the key that the client made at
its start, in the manner of DPoP (RFC 9449). What is signed names the server by its TLS certificate, a
nonce of the server, a number that no other request has, the token, method and target; of a registration
its body too. Wrong clocks play no part: the nonce stands for the time.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from itertools import count

from castcore import canonical
from castcore.errors import BadPacket
from castcore.trust import SigningKey, digest, verify

PROOF_HEADER = "Fleetcast-Proof"
NONCE_HEADER = "Fleetcast-Nonce"
PURPOSE = "client request"
# Requests of one client overtake each other on several connections, by far fewer than this.
WINDOW = 1024

_PROOF = re.compile(r"([0-9a-f]{1,128}) ([0-9]{1,15}) ([0-9a-f]{128})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that a proof is about.

    ``server`` is the SHA-256 of the server's certificate, ``token`` "" while registering, ``target`` the
    path and query as they were sent; ``body`` is that of a registration, else b"".
    """

    server: bytes
    token: str
    method: str
    target: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the header says: the server's ``nonce``, the request's ``number``, the signature."""

    nonce: str
    number: int
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> Proof:
        """The proof that ``text`` spells. Raises BadPacket."""
        found = _PROOF.fullmatch(text)
        if found is None:
            raise BadPacket("a proof that is none")
        return cls(found[1], int(found[2]), bytes.fromhex(found[3]))

    def spelled(self) -> str:
        """As the header has it."""
        return f"{self.nonce} {self.number} {self.signature.hex()}"

    def require(self, asked: Asked, public: bytes) -> None:
        """Return if this is by the holder of ``public``, for ``asked``. Raises Untrusted."""
        verify(public, PURPOSE, _signed(asked, self.nonce, self.number), self.signature)


class Prover:
    """Proves the requests of one client to one server, from any thread.

    Without a ``token`` it registers. ``nonce`` is what the server gave last, "" before that; it may be
    replaced at any time.
    """

    def __init__(self, key: SigningKey, server: bytes, token: str = "", nonce: str = "") -> None:
        self.token, self.nonce = token, nonce
        self._key, self._server = key, server
        self._numbers = count(1)

    def header(self, method: str, target: str, body: bytes = b"") -> str:
        """The proof for one request, "" while no nonce is known: the server then gives one."""
        nonce = self.nonce
        if not nonce:
            return ""
        number = next(self._numbers)
        asked = Asked(self._server, self.token, method, target, b"" if self.token else body)
        signature = self._key.sign(PURPOSE, _signed(asked, nonce, number))
        return Proof(nonce, number, signature).spelled()


class Window:
    """The numbers that were used: each is taken once, in any order within WINDOW (RFC 4303, A2)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._top, self._seen = 0, 0  # the highest, and a bit for each of those up to WINDOW below it

    def take(self, number: int) -> bool:
        """Whether ``number`` is used for the first time; one too far behind passes for used."""
        with self._lock:
            if number > self._top:
                ahead = number - self._top
                self._seen = self._seen << ahead if ahead < WINDOW else 0
                self._seen = (self._seen | 1) & ((1 << WINDOW) - 1)
                self._top = number
                return True
            bit = 1 << (self._top - number) if self._top - number < WINDOW else 0
            if not bit or self._seen & bit:
                return False
            self._seen |= bit
            return True


def _signed(asked: Asked, nonce: str, number: int) -> bytes:
    body = digest(asked.body).hex() if asked.body else ""
    return canonical.encode(
        [asked.server.hex(), nonce, number, asked.token, asked.method, asked.target, body]
    )
