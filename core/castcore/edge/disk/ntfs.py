"""Was an NTFS volume left clean? Its log, its volume record and a hibernated Windows are asked.

Read by `ntfscat` (ntfs-3g), which opens the volume read-only; `ntfs-3g.probe` would open it for
writing.
"""

from __future__ import annotations

from castcore.disk import fshealth
from castcore.edge.run import ProgramFailed, run, started

SECONDS = 60.0
# Also of a volume that is marked for a check: it is opened read-only all the same, and we tell why.
NTFSCAT = ("ntfscat", "--force")
LOG_INODE = "2"
VOLUME_INODE = "3"
VOLUME_INFORMATION = "0x70"
HIBERFILE_BYTES = 4096


def ntfs_trouble(source: str) -> str:
    """ "" when the volume on ``source`` (device or file) is clean, else why not.

    Raises MissingProgram, ProgramFailed when the volume cannot be read.
    """
    volume = run([*NTFSCAT, "-i", VOLUME_INODE, "-a", VOLUME_INFORMATION, source], timeout=SECONDS)
    return (
        fshealth.ntfs_volume_trouble(volume)
        or fshealth.ntfs_log_trouble(_start_of(["-i", LOG_INODE, source], fshealth.NTFS_LOG_BYTES))
        or fshealth.ntfs_hibernation_trouble(_hiberfile(source))
    )


def _hiberfile(source: str) -> bytes:
    try:
        return _start_of([source, "hiberfil.sys"], HIBERFILE_BYTES)
    except ProgramFailed as error:
        if "No such file" in error.stderr:
            return b""
        raise


def _start_of(arguments: list[str], length: int) -> bytes:
    """The first ``length`` bytes of what ntfscat prints; it is stopped then."""
    with started([*NTFSCAT, *arguments]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        data = process.stdout.read(length)
        if data:
            return data
        said = process.stderr.read().decode(errors="replace")
        status = process.wait()
    if status != 0:
        raise ProgramFailed(f"ntfscat: {said.strip()}", stderr=said, status=status)
    return b""
