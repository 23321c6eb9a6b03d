"""The facts of a server's files and machine, gathered in bounded time; nothing is changed."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from castcore.doctor import (
    CertificateFact,
    DatabaseFact,
    FolderFact,
    ServerFacts,
    Space,
    StateFact,
    TreeFact,
)
from castcore.edge.image.signing import KEY_FILE, server_key
from castcore.edge.net.identity import CERTIFICATE_FILE, TLS_KEY_FILE
from castcore.errors import FleetcastError, Refused
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.database.databaselook import look_at_database
from castserver.database.statedatabase import place_in
from castserver.images.patience import Patience
from castserver.images.shelves import Shelf, is_local
from castserver.logs.serverlog import FILE, FOLDER
from castserver.services.bootfiles import prove_tree
from castserver.state.statelock import LOCK_FILE

SECRETS = (KEY_FILE, TLS_KEY_FILE, TOKEN_FILE)
OTHERS = 0o077
LOOK_SECONDS = 5.0
TREE_SECONDS = 60.0
# All images of one folder are opened in so long; what is left is told.
OPENING_SECONDS = 30.0


def examine(
    state: Path, folders: Sequence[Path], tree: Path | None, passfile: Path | None
) -> ServerFacts:
    """The facts of the server with ``state``, its ``folders`` of images and its boot ``tree``.

    Raises Refused: we may not look there.
    """
    found = _state(state)
    there = not found.missing and not found.fault
    return ServerFacts(
        found,
        now=int(time.time()),
        written=_written(state),
        host=socket.gethostname(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        database=_database(state, passfile, held=found.held) if there else None,
        certificate=_certificate(state),
        tree=_tree(tree) if tree is not None else None,
        folders=tuple(map(_folder, folders)),
    )


def _state(state: Path) -> StateFact:
    if not state.exists():
        return StateFact(str(state), missing=True)
    if not state.is_dir():
        return StateFact(str(state), fault=f"{state} is no directory")
    if not os.access(state, os.R_OK | os.X_OK):
        raise Refused(f"we may not look into {state}", hint="run it as root")
    status = state.stat()
    open_files = [
        str(p) for name in SECRETS if (p := state / name).exists() and p.stat().st_mode & OTHERS
    ]
    return StateFact(
        str(state),
        mode=status.st_mode & 0o7777,
        owner=status.st_uid,
        ours=os.geteuid(),
        held=_is_held(state / LOCK_FILE),
        open_files=tuple(open_files),
        fault=_fault(state),
        space=space_in(state),
    )


def _fault(state: Path) -> str:
    """Why a server cannot keep anything there."""
    if os.statvfs(state).f_flag & os.ST_RDONLY:
        return f"{state} is on a file system that is mounted read-only"
    logs = state / FOLDER
    if logs.exists() and not logs.is_dir():
        return f"{logs} is no directory: the server's log has no place"
    if not os.access(state, os.W_OK):
        return f"{state} cannot be written to"
    try:
        server_key(state)
    except FleetcastError as error:
        return error.what
    return ""


def _database(state: Path, passfile: Path | None, *, held: bool) -> DatabaseFact:
    try:
        place = place_in(state)
    except FleetcastError as error:
        return DatabaseFact(str(state), fault=error.what, remedy=error.hint)
    return look_at_database(place, passfile, held=held)


def _is_held(lock: Path) -> bool:
    """Whether a server holds the ``lock``; it is ours for a moment if none does."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def space_in(folder: Path) -> Space:
    """What is free to us in the file system of ``folder``. Raises OSError."""
    found = os.statvfs(folder)
    return Space(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


def _written(state: Path) -> int:
    """When the server wrote something last, by the clock of then."""
    logs = [state / FOLDER / FILE]
    return max(
        (int(p.stat().st_mtime) for p in (*logs, *state.glob("*.sqlite*")) if p.exists()), default=0
    )


def _certificate(state: Path) -> CertificateFact | None:
    """The certificate; None when the next start makes one."""
    path, key = state / CERTIFICATE_FILE, state / TLS_KEY_FILE
    if not (path.exists() and key.exists()):
        return None
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError, OSError) as error:
        return CertificateFact(fault=f"{path} and {key.name} cannot be read: {error}")
    if private.public_key() != found.public_key():
        return CertificateFact(fault=f"{key} is not the key of {path}")
    return CertificateFact(_names(found), int(found.not_valid_after_utc.timestamp()))


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))


def _tree(tree: Path) -> TreeFact:
    try:
        files = Patience(str(tree)).do(lambda: prove_tree(tree), TREE_SECONDS)
    except FleetcastError as error:
        return TreeFact(str(tree), fault=error.what, remedy=error.hint)
    return TreeFact(str(tree), files)


def _folder(folder: Path) -> FolderFact:
    """One that does not answer is told as such within seconds."""
    shelf = Shelf(folder.name, folder, Patience(str(folder)))
    path = str(folder)
    try:
        images = [found.image for found in shelf.list()]
        space = shelf.patience.do(lambda: space_in(folder), LOOK_SECONDS)
        local = shelf.patience.do(lambda: is_local(folder), LOOK_SECONDS)
    except FleetcastError as error:
        return FolderFact(path, fault=error.what, remedy=error.hint)
    except OSError as error:
        return FolderFact(path, fault=f"{path}: {error.strerror}", remedy="look at its disk or mount")
    damaged, opened = [], 0
    end = time.monotonic() + OPENING_SECONDS
    for image in images:
        if time.monotonic() > end:
            break
        opened += 1
        problem = image.problem or _opening(shelf, image.name)
        if problem:
            damaged.append(f"{folder}/{image.name}: {problem}")
    return FolderFact(path, local, len(images), opened, tuple(damaged), space)


def _opening(shelf: Shelf, name: str) -> str:
    """Why the image cannot be opened, "" when it can."""
    try:
        shelf.open(name).close()
    except FleetcastError as error:
        return error.what
    return ""
