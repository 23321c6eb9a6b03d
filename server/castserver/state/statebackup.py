"""A backup of the server's state directory: one archive, whole or absent, and back again.

The database is copied as it is at one moment, so a server may run meanwhile; one on a PostgreSQL server
becomes a file as well, so that a backup can come back to either. Images, logs and boot images are not in
it: they are large, or say nothing that is needed to go on.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from castcore import __version__, trust
from castcore.edge.image.store import sync_directory, writing_to
from castcore.edge.net.identity import write_secret
from castcore.errors import BadImage, DiskFailed, NotFound, Refused

from castserver.database import databasecopy, sqlitefile
from castserver.database.databaseplace import SQLITE_FILE, Place, PostgresPlace
from castserver.database.statedatabase import RECORD, place_in, record

DATABASE = SQLITE_FILE
# The identity, the certificate, the administrator's token; what is not there is made at the next start.
SECRETS = ("server.key", "tls.crt", "tls.key", "operator.token")
CONTENTS = "backup.json"
FORMAT = 1
LARGEST = 4 << 30
_KNOWN = frozenset({DATABASE, *SECRETS})


@dataclass(frozen=True, slots=True)
class Backup:
    """What an archive holds: sizes in bytes by file; ``made`` in Unix seconds."""

    version: str
    made: int
    files: dict[str, int]


def back_up(state: Path, output: Path, passfile: Path | None = None) -> Backup:
    """Write the archive ``output``, readable by its owner only.

    ``passfile`` has the password of a database on a server. Raises NotFound, Refused, DiskFailed,
    NoSpace, DatabaseAway.
    """
    place = place_in(state)
    if not isinstance(place, PostgresPlace) and not place.is_file():
        raise NotFound(f"{state} is no server's state directory", hint="name it with --state")
    if output.exists():
        raise Refused(f"{output} is there already", hint="name another, or remove it")
    with writing_to(output.parent, "another place"):
        contents = {DATABASE: _database(place, passfile)}
        contents |= {name: (state / name).read_bytes() for name in SECRETS if (state / name).is_file()}
        made = int(time.time())
        about = {
            "format": FORMAT,
            "version": __version__,
            "made": made,
            "files": {n: {"size": len(c), "blake3": trust.digest(c).hex()} for n, c in contents.items()},
        }
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, content in {CONTENTS: json.dumps(about, indent=1).encode(), **contents}.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = len(content), 0o600, made
                tar.addfile(member, io.BytesIO(content))
        write_secret(output, archive.getvalue())
    return Backup(__version__, made, {name: len(c) for name, c in contents.items()})


def bring_back(
    archive: Path, state: Path, place: PostgresPlace | None = None, passfile: Path | None = None
) -> Backup:
    """Make the state directory ``state`` of ``archive``, whole or not at all.

    The database comes into it, or to ``place``, which is to be empty. Raises NotFound, BadImage
    (damaged), Refused (``state`` or ``place`` has a server already), and what opening ``place`` does.
    """
    backup, contents = read(archive)
    if state.exists() and any(p.name != "lost+found" for p in state.iterdir()):
        raise Refused(f"{state} is not empty", hint="name a new directory, or move that one away")
    with writing_to(state.parent, "another place"):
        state.parent.mkdir(parents=True, exist_ok=True)
        # The database comes last: without it a directory is no server's. A mount point stays what it is.
        state.mkdir(mode=0o700, exist_ok=True)
        written = []
        try:
            for name in sorted(contents, key=lambda name: name == DATABASE):
                if name != DATABASE or place is None:
                    written.append(state / name)
                    write_secret(state / name, contents[name])
            if place is not None:
                written.append(state / RECORD)
                record(state, place)
                _load(contents[DATABASE], place, passfile)
            sync_directory(state)
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    return backup


def read(archive: Path) -> tuple[Backup, dict[str, bytes]]:
    """What ``archive`` holds, every file proven by its digest. Raises NotFound, BadImage, DiskFailed."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            found = {
                m.name: _content(tar, m) for m in tar if m.isreg() and m.name in {CONTENTS, *_KNOWN}
            }
    except FileNotFoundError:
        raise NotFound(f"there is no file {archive}") from None
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise _damaged(archive, str(error)) from None
    except OSError as error:
        if error.strerror is None:
            raise _damaged(archive, str(error)) from None
        raise DiskFailed(f"{archive}: {error.strerror}") from None
    try:
        about = json.loads(found.pop(CONTENTS))
        wanted = {name: str(row["blake3"]) for name, row in about["files"].items()}
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']}")
        backup = Backup(str(about["version"]), int(about["made"]), {n: len(c) for n, c in found.items()})
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(archive, repr(error)) from None
    if {name: trust.digest(content).hex() for name, content in found.items()} != wanted:
        raise _damaged(archive, "a file is not what was written")
    return backup, found


def _load(database: bytes, place: PostgresPlace, passfile: Path | None) -> None:
    with TemporaryDirectory(prefix="fleetcast-") as folder:
        file = Path(folder) / DATABASE
        write_secret(file, database)
        databasecopy.load_from_file(file, place, passfile)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > LARGEST:
        raise ValueError(f"{member.name} is too large")
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _damaged(archive: Path, why: str) -> BadImage:
    return BadImage(f"{archive} is no backup of a server's state, or damaged: {why}")


def _database(place: Place, passfile: Path | None) -> bytes:
    with TemporaryDirectory(prefix="fleetcast-") as folder:
        copy = Path(folder) / DATABASE
        if isinstance(place, PostgresPlace):
            databasecopy.save_to_file(place, passfile, copy)
        else:
            sqlitefile.copy(place, copy)
        return copy.read_bytes()
