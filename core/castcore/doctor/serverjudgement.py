"""What the facts of a server mean for its next start, and for casts that run by it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from castcore.doctor.findings import Finding, Level
from castcore.doctor.serverfacts import (
    CertificateFact,
    DatabaseFact,
    FolderFact,
    ServerFacts,
    Space,
    StateFact,
    TreeFact,
)
from castcore.units import GIB, MIB, human

SERVER = "server"
# The database and the log need little; a capture needs its whole image.
STATE_NEEDS, STATE_WANTS = 64 * MIB, 512 * MIB
IMAGES_WANT = 10 * GIB
INODES_WANTED = 1000
# Each client keeps two or three connections: five hundred of them, and files.
FILES_WANTED = 4096
CLOCK_SLACK = 300
SOON = 30 * 86400
OTHERS = 0o077
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

# A finding without its subject: level, check, what, do.
_Found = Iterator[tuple[Level, str, str, str]]


def judge_server(facts: ServerFacts) -> tuple[Finding, ...]:
    """All findings about the server, in the order in which its start meets them."""
    found = [*_state(facts.state)]
    if facts.database is not None:
        found += _database(facts.database)
    if facts.certificate is not None:
        found += _certificate(facts.certificate, facts)
    if facts.tree is not None:
        found += _tree(facts.tree)
    for folder in facts.folders:
        found += _folder(folder)
    found += [*_clock(facts), *_files(facts)]
    return tuple(Finding(level, SERVER, *rest) for level, *rest in found)


def _state(state: StateFact) -> _Found:
    if state.missing:
        yield OK, "state", f"{state.path} is not there: the first start makes it", ""
        return
    if state.fault:
        yield PROBLEM, "state", state.fault, "give a directory we may write to (--state)"
        return
    runs = "a server runs with it" if state.held else "no server runs with it"
    yield OK, "state", f"{state.path}: {runs}", ""
    if state.mode & OTHERS:
        what = f"others may enter {state.path} (mode {state.mode:04o}): it holds the server's secrets"
        yield WARNING, "state", what, f"`chmod 0700 {state.path}`"
    if state.owner != state.ours:
        what = f"{state.path} belongs to user {state.owner}, who can replace the server's keys"
        yield WARNING, "state", what, f"`chown -R {state.ours} {state.path}`"
    for name in state.open_files:
        what = f"others may read {name}: who has it is the server"
        yield PROBLEM, "secrets", what, f"`chmod 0600 {name}`; was it read by others, make it anew"
    if not state.open_files:
        yield OK, "secrets", "nobody else may read the server's keys and token", ""
    if state.space is not None:
        yield from _state_space(state.path, state.space)


def _state_space(path: str, space: Space) -> _Found:
    what = f"{human(space.free)} free in {path}"
    do = "make room there: without it the server writes neither machines nor casts down"
    if space.inodes is not None and space.inodes < INODES_WANTED:
        yield PROBLEM, "space", f"only {space.inodes} inodes are free in {path}", do
    elif space.free < STATE_NEEDS:
        yield PROBLEM, "space", f"only {what}", do
    elif space.free < STATE_WANTS:
        yield WARNING, "space", f"only {what}", do
    else:
        yield OK, "space", what, ""


def _database(database: DatabaseFact) -> _Found:
    name = database.name
    if database.fault:
        yield PROBLEM, "database", database.fault, database.remedy
    elif database.missing:
        yield OK, "database", f"{name} holds nothing yet: the first start makes it", ""
    elif database.unchecked:
        what = f"{name} answers, but is not proven: {database.unchecked}"
        yield WARNING, "database", what, "look again when the server has less to do"
    elif database.revision != database.newest:
        had = database.revision or "none"
        what = f"{name} is of an older Fleetcast (revision {had}): the next start upgrades it"
        yield OK, "database", what, "`fleetcast backup` before it"
    else:
        how = "answers and is sound" if database.file else "answers"
        yield OK, "database", f"{name} {how}, revision {database.revision}", ""


def _certificate(certificate: CertificateFact, facts: ServerFacts) -> _Found:
    again = "remove tls.crt and tls.key: the next start makes new ones; clients find them by the key"
    if certificate.fault:
        yield PROBLEM, "certificate", certificate.fault, again
        return
    names = ", ".join(certificate.names) or "nobody"
    day = _day(certificate.ends)
    if certificate.ends <= facts.now:
        # Our clients pin the certificate and do not look at its time.
        what = f"it ended on {day}: browsers and scripts refuse it, our clients do not"
        yield WARNING, "certificate", what, again
    elif certificate.ends - facts.now < SOON:
        yield WARNING, "certificate", f"it ends on {day}", again
    elif facts.host not in certificate.names:
        what = f"it names {names}, and this machine is called {facts.host}"
        yield WARNING, "certificate", what, f"browsers warn of that too; {again}"
    else:
        yield OK, "certificate", f"it names {names}, until {day}", ""


def _tree(tree: TreeFact) -> _Found:
    if tree.fault:
        yield PROBLEM, "boot tree", tree.fault, tree.remedy
    else:
        yield OK, "boot tree", f"{tree.path} is whole: {tree.files} files", ""


def _folder(folder: FolderFact) -> _Found:
    if folder.fault:
        yield PROBLEM, "images", folder.fault, folder.remedy
        return
    for damaged in folder.damaged:
        yield PROBLEM, "images", damaged, "`fleetcast verify` tells more; capture or copy it anew"
    some = f" ({folder.opened} opened in the time there was)" if folder.opened < folder.images else ""
    if not folder.damaged:
        where = "" if folder.local else ", over the network"
        yield OK, "images", f"{folder.path}{where}: {_count(folder.images, 'image')}{some}", ""
    space = folder.space
    if space is None:
        return
    if space.inodes is not None and space.inodes < INODES_WANTED:
        what = f"only {space.inodes} inodes are free in {folder.path}"
        yield WARNING, "space", what, "make room there before anything is captured to it"
    elif space.free < IMAGES_WANT:
        what = f"only {human(space.free)} free in {folder.path}"
        yield WARNING, "space", what, "make room there before anything is captured to it"
    else:
        yield OK, "space", f"{human(space.free)} free in {folder.path}", ""


def _clock(facts: ServerFacts) -> _Found:
    late = facts.written - facts.now
    if late > CLOCK_SLACK:
        what = f"the clock is at least {late / 3600:.1f} h behind: this server wrote things later"
        yield PROBLEM, "clock", what, "set it: licences, tokens and the audit log go by it"
    else:
        yield OK, "clock", f"{_day(facts.now)} (UTC) can be right", ""


def _files(facts: ServerFacts) -> _Found:
    what = f"a process may have {facts.open_files} files open"
    if facts.open_files < FILES_WANTED:
        do = f"raise it to {FILES_WANTED} and more (`ulimit -Hn`; the unit of `fleetcast unit` does)"
        yield WARNING, "open files", f"{what}: too few for 500 machines", do
    else:
        yield OK, "open files", what, ""


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("s" if number != 1 else "")
