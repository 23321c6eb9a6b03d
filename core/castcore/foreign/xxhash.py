"""XXH64 and XXH3-128 by the distribution's ``libxxhash0`` (apt itself needs it).

Newer versions of partclone, and with ``-a3`` today's Clonezilla, sum blocks with them. A sum is given
as partclone stores it: the library's own structure on a little-endian machine.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Protocol

from castcore.errors import MissingProgram

LIBRARY = "libxxhash.so.0"


class _Hash128(ctypes.Structure):
    """``XXH128_hash_t`` of xxhash.h."""

    _fields_ = (("low64", ctypes.c_uint64), ("high64", ctypes.c_uint64))


class RunningSum(Protocol):
    """A checksum that is fed piece by piece and started anew for each strip."""

    def reset(self) -> None:
        """Start anew."""
        ...

    def update(self, data: bytes) -> None:
        """Take ``data`` in."""
        ...

    def digest(self) -> bytes:
        """The sum of all since the start, as partclone stores it."""
        ...


class XxhSum:
    """XXH64, or with ``wide`` XXH3-128, both with seed 0. Raises MissingProgram without the library."""

    def __init__(self, *, wide: bool) -> None:
        self._wide = wide
        name = "XXH3" if wide else "XXH64"
        prefix = "XXH3_128bits" if wide else "XXH64"
        try:
            library = ctypes.CDLL(LIBRARY)
            create, free = (getattr(library, f"{name}_{what}State") for what in ("create", "free"))
            self._reset, self._update, self._digest = (
                getattr(library, f"{prefix}_{what}") for what in ("reset", "update", "digest")
            )
        except (OSError, AttributeError):
            raise MissingProgram(
                f"{LIBRARY} is not installed, and the image's checksums need it",
                hint="apt install libxxhash0",
            ) from None
        create.restype = ctypes.c_void_p
        free.argtypes = [ctypes.c_void_p]
        self._update.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
        self._digest.argtypes = [ctypes.c_void_p]
        self._digest.restype = _Hash128 if wide else ctypes.c_uint64
        self._reset.argtypes = [ctypes.c_void_p] if wide else [ctypes.c_void_p, ctypes.c_uint64]
        self._state = create()
        weakref.finalize(self, free, self._state)
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        if self._wide:
            self._reset(self._state)
        else:
            self._reset(self._state, 0)

    def update(self, data: bytes) -> None:
        """Take ``data`` in."""
        self._update(self._state, data, len(data))

    def digest(self) -> bytes:
        """The sum of all since the start, as partclone stores it."""
        value = self._digest(self._state)
        if isinstance(value, _Hash128):
            return bytes(value)
        return int(value).to_bytes(8, "little")
