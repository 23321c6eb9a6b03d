"""Checks the proofs of clients: whose key, for this request, of this run of the server, never twice."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable

from castcore.errors import BadPacket, Busy, FleetcastError, Untrusted
from castcore.proof import Asked, Proof, Window
from castcore.trust import KEY_SIZE, keyed_tag

from castserver.machines.presented import Presented

# A registration is signed at once when its challenge is there; this is for a slow machine and network.
CHALLENGE_SECONDS = 60
# Challenges that were used and are still fresh; a room that starts at once needs five hundred.
MOST_USED = 20_000
_RANDOM, _TIME, _TAG = 8, 8, 16


class Unproven(FleetcastError):
    """A request without a proof that counts; answered with status 401 and the ``nonce`` for another."""

    advice = "sign the request with the nonce of this answer"

    def __init__(self, what: str, nonce: str) -> None:
        super().__init__(what)
        self.nonce = nonce


class Proofs:
    """Of the server with the TLS certificate ``server`` (its SHA-256). Any method in any thread.

    ``nonce`` is that of this run: what was recorded before a restart counts for nothing after it.
    """

    def __init__(self, server: bytes = b"", clock: Callable[[], float] = time.monotonic) -> None:
        self.nonce = secrets.token_hex(16)
        self._server, self._clock = server, clock
        self._secret = secrets.token_bytes(KEY_SIZE)
        self._lock = threading.Lock()
        # Challenges that were used, with when they were given.
        self._used: dict[str, int] = {}

    def require(self, shown: Presented, key: bytes, window: Window) -> None:
        """Return if ``shown`` is by the holder of ``key``, for the first time. Raises Unproven."""
        proof = self._parsed(shown, self.nonce)
        if proof.nonce != self.nonce:
            raise Unproven("the proof has another nonce than this server's", self.nonce)
        self._verify(shown, proof, key, self.nonce)
        # Last: what is not by the key must not use up its numbers.
        if not window.take(proof.number):
            raise Unproven("the proof was used before", self.nonce)

    def require_registration(self, shown: Presented, key: bytes, body: bytes) -> None:
        """Return if the registration ``body`` is signed by ``key`` over a fresh challenge of ours.

        Raises Unproven, Busy.
        """
        proof = self._parsed(shown, self.challenge)
        if not self._fresh(proof.nonce):
            raise Unproven("the challenge is not of this server, or too old", self.challenge())
        self._verify(shown, proof, key, self.challenge, body)
        if not self._use(proof.nonce):
            raise Unproven("the challenge was used before", self.challenge())

    def challenge(self) -> str:
        """A nonce for one registration, good for CHALLENGE_SECONDS; nothing is kept of it."""
        content = int(self._clock()).to_bytes(_TIME) + secrets.token_bytes(_RANDOM)
        return (content + keyed_tag(self._secret, content, _TAG)).hex()

    def _parsed(self, shown: Presented, nonce: str | Callable[[], str]) -> Proof:
        try:
            return Proof.parse(shown.proof)
        except BadPacket:
            text = "the proof is malformed" if shown.proof else "the request carries no proof"
            raise Unproven(text, _given(nonce)) from None

    def _verify(
        self,
        shown: Presented,
        proof: Proof,
        key: bytes,
        nonce: str | Callable[[], str],
        body: bytes = b"",
    ) -> None:
        asked = Asked(self._server, shown.token, shown.method, shown.target, body)
        try:
            proof.require(asked, key)
        except Untrusted:
            raise Unproven("the proof is not by this client's key", _given(nonce)) from None

    def _fresh(self, challenge: str) -> bool:
        given = self._given_at(challenge)
        return given is not None and 0 <= self._clock() - given <= CHALLENGE_SECONDS

    def _given_at(self, challenge: str) -> int | None:
        """When we gave ``challenge``; None: we did not."""
        try:
            raw = bytes.fromhex(challenge)
        except ValueError:
            return None
        content, tag = raw[:-_TAG], raw[-_TAG:]
        ours = len(content) == _TIME + _RANDOM and challenge == raw.hex()
        if not ours or not hmac.compare_digest(tag, keyed_tag(self._secret, content, _TAG)):
            return None
        return int.from_bytes(content[:_TIME])

    def _use(self, challenge: str) -> bool:
        given = self._given_at(challenge)
        assert given is not None
        with self._lock:
            if len(self._used) >= MOST_USED:
                old = int(self._clock()) - CHALLENGE_SECONDS - 1
                self._used = {used: at for used, at in self._used.items() if at >= old}
            if len(self._used) >= MOST_USED:
                raise Busy("too many machines register just now")
            if challenge in self._used:
                return False
            self._used[challenge] = given
            return True


def _given(nonce: str | Callable[[], str]) -> str:
    return nonce if isinstance(nonce, str) else nonce()
