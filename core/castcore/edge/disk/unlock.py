"""Encrypted volumes opened read-only with a key, to learn what is in use inside (cryptsetup).

The image holds the encrypted sectors all the same: those under bytes in use inside, and everything
outside of the encrypted data (headers, key slots). The restored disk is the same encrypted disk.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from castcore.disk import Extent
from castcore.disk.dmtable import Segment, parse_table
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.loopdevice import read_only_loop
from castcore.edge.run import ProgramFailed, run
from castcore.errors import NotFound, Refused

# blkid's words, and cryptsetup's.
TYPES = {"crypto_LUKS": "luks", "BitLocker": "bitlk"}
# A key slot's function may be made to take seconds on a fast machine; a slow one still ends.
SECONDS = 300.0
WRONG_KEY = 2
UDEV = Path("/run/udev/control")


@contextmanager
def unlocked(
    disk: BlockFile, extent: Extent, fstype: str, key: Path
) -> Iterator[tuple[BlockFile, tuple[Segment, ...]]]:
    """The contents of the volume in ``extent`` of ``disk``, and where its bytes lie in ``extent``.

    ``key`` is a file that holds the passphrase, the key, or BitLocker's recovery password. Raises
    NotFound and Refused (wrong key), BadImage when the volume is not laid out sector by sector,
    MissingProgram and ProgramFailed.
    """
    name = f"fleetcast-{os.getpid()}-{secrets.token_hex(4)}"
    with read_only_loop(disk.path, extent) as loop:
        _open(loop, name, TYPES[fstype], key)
        try:
            number = os.stat(loop).st_rdev
            table = _run(["dmsetup", "table", name]).decode(errors="replace")
            segments = parse_table(table, f"{os.major(number)}:{os.minor(number)}")
            with BlockFile.open_source(f"/dev/mapper/{name}") as inside:
                yield inside, segments
        finally:
            _run(["cryptsetup", "close", name])


def _open(device: str, name: str, kind: str, key: Path) -> None:
    try:
        secret = key.read_bytes()
    except OSError as error:
        raise NotFound(f"key file {key} cannot be read: {error.strerror}") from None
    command = ["cryptsetup", "open", "--readonly", "--batch-mode", "--tries", "1"]
    command += ["--type", kind, "--key-file", "-", device, name]
    # The key goes in by standard input, never on a command line that others see. A text file ends
    # with a newline that is no part of the passphrase.
    tries = [secret, secret.removesuffix(b"\n")] if secret.endswith(b"\n") else [secret]
    for attempt in tries:
        try:
            _run(command, data=attempt)
        except ProgramFailed as error:
            if error.status != WRONG_KEY:
                raise
        else:
            return
    raise Refused(f"the key in {key} does not open this volume", hint="name the file of its own key")


def _run(command: list[str], *, data: bytes | None = None) -> bytes:
    # Without a udev daemon the device mapper's library would wait for one for ever.
    alone = {} if UDEV.exists() else {"DM_DISABLE_UDEV": "1"}
    return run(command, timeout=SECONDS, data=data, extra_env=alone)
