"""Which data packets a receiver lets in, before its core sees any: the right tag, no known forgery."""

from __future__ import annotations

from castcore.cast.blocks import BlockTable
from castcore.cast.data import Headers, Symbols, split
from castcore.cast.protection import Protection, authentic
from castcore.cast.vetting import Vetting


class Sieve:
    """For one session at a time; without a MAC and a suspect block it costs nothing."""

    def __init__(self, table: BlockTable) -> None:
        self._table = table
        self.vetting = Vetting(table)
        self.protection = Protection()

    def renew(self, protection: Protection) -> None:
        """We joined a session with these keys; another one's symbols have other digests."""
        if protection != self.protection:
            self.vetting = Vetting(self._table)
        self.protection = protection

    def follow(self, table: BlockTable) -> None:
        """Blocks are those of ``table`` from now on."""
        self._table, self.vetting = table, Vetting(table)

    def sift(self, burst: memoryview) -> tuple[Headers, Symbols]:
        """The headers and symbols of a burst that are let in. Raises BadPacket (a torn burst)."""
        headers, symbols = split(burst, self._table.symbol_size)
        if self.protection.tag_key:
            good = authentic(burst, headers, self.protection.tag_key)
            if not good.all():
                headers, symbols = headers[good], symbols[good]
        if self.vetting:
            good = self.vetting.good(headers, symbols)
            headers, symbols = headers[good], symbols[good]
        return headers, symbols
