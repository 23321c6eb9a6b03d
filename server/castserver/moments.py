"""Moments as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(seconds: int) -> str:
    """A moment (Unix seconds): ``"2026-11-27 14:05"``, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
