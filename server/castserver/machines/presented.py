"""What a request shows of who makes it: a client's token and its proof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Presented:
    """``proof`` is the header of :mod:`castcore.proof`, ``target`` path and query as they came."""

    token: str
    proof: str = ""
    method: str = ""
    target: str = ""
