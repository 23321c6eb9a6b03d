"""What was seen of a server's files and machine; gathered in ``castserver.state.examination``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Space:
    """What is free in a file system: bytes, ``inodes`` (None where there is no end of them)."""

    free: int
    inodes: int | None = None


@dataclass(frozen=True)
class StateFact:
    """The state directory; ``missing``: there is none.

    ``mode``: its permission bits; ``owner`` and ``ours``: its user id, and that of who looks. ``held``:
    a server runs with it. ``open_files``: secrets in it that others may read. ``fault``: why nothing can
    be kept in it, or a file of it is not what it has to be; "" when all is well.
    """

    path: str
    missing: bool = False
    mode: int = 0o700
    owner: int = 0
    ours: int = 0
    held: bool = False
    open_files: tuple[str, ...] = ()
    fault: str = ""
    space: Space | None = None


@dataclass(frozen=True)
class DatabaseFact:
    """The database called ``name``; ``missing``: there is none yet, or it is empty.

    ``file``: it is one of ours, read to its end; what is on a server is that server's to prove.
    ``revision``: that of its schema, which is to be ``newest``. ``unchecked``: why it is not known
    whether the file is sound. ``fault``, ``remedy``: what is wrong with it.
    """

    name: str
    missing: bool = False
    file: bool = True
    revision: str = ""
    newest: str = ""
    unchecked: str = ""
    fault: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class CertificateFact:
    """The TLS certificate: whom it names, its end in Unix seconds; ``fault``: why TLS cannot begin."""

    names: tuple[str, ...] = ()
    ends: int = 0
    fault: str = ""


@dataclass(frozen=True)
class TreeFact:
    """The boot tree at ``path``; ``fault`` and ``remedy``: what is not as its table says."""

    path: str
    files: int = 0
    fault: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class FolderFact:
    """A folder of images; ``local``: on a disk of this machine.

    ``opened`` of its ``images`` were opened in the time there was; ``damaged``: name and fault of those
    that cannot be used. ``fault``, ``remedy``: why it cannot be read, as when its mount hangs.
    """

    path: str
    local: bool = True
    images: int = 0
    opened: int = 0
    damaged: tuple[str, ...] = ()
    space: Space | None = None
    fault: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class ServerFacts:
    """All of it; ``now``, ``written`` (the newest thing in the state): Unix seconds.

    ``host``: the machine's name; ``open_files``: how many a process may have.
    """

    state: StateFact
    now: int
    written: int = 0
    host: str = ""
    open_files: int = 65536
    database: DatabaseFact | None = None
    certificate: CertificateFact | None = None
    tree: TreeFact | None = None
    folders: tuple[FolderFact, ...] = ()
