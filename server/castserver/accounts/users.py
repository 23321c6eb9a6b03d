"""The people who may use the server, in the database: names, roles, hashes of passwords."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field

from castcore.errors import NotFound, Refused

from castserver.accounts import passwords
from castserver.accounts.roles import Role
from castserver.database.database import Database
from castserver.database.tables import UserRow

FIRST = "admin"
MOST_USERS = 1000
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """One of them; ``password`` is its hash, ``changed`` when it was set last, in Unix seconds."""

    name: str
    role: Role
    changed: int
    password: str = field(repr=False)


class Users:
    """The users; every method may be called from any thread. Raises NoSpace, DiskFailed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._rows = {row.name: row for row in database.all(UserRow)}

    def first(self) -> str | None:
        """The password of the first user, just made; None when there are users already."""
        with self._lock:
            if self._rows:
                return None
            password = passwords.generated()
            self._save(FIRST, Role.ADMIN, passwords.hashed(password), int(time.time()))
            return password

    def all(self) -> list[User]:
        """By name."""
        with self._lock:
            return [self._user(row) for _, row in sorted(self._rows.items())]

    def get(self, name: str) -> User:
        """The user called ``name``. Raises NotFound."""
        with self._lock:
            return self._user(self._row(name))

    def add(self, name: str, role: Role, password: str) -> User:
        """A new user. Raises Refused."""
        if not _NAME.fullmatch(name):
            raise Refused(
                f"{name!r:.70} is no user's name",
                hint="1 to 64 small letters, digits, '.', '_', '@' and '-', a letter or digit first",
            )
        passwords.require_good(password)
        kept = passwords.hashed(password)
        with self._lock:
            if name in self._rows:
                raise Refused(
                    f"there is a user {name} already", hint="change that one, or take another name"
                )
            if len(self._rows) >= MOST_USERS:
                raise Refused(f"there are {MOST_USERS} users already", hint="remove some")
            return self._user(self._save(name, role, kept, int(time.time())))

    def change(self, name: str, role: Role | None, password: str | None) -> None:
        """Both or neither; what is None stays. Raises NotFound, Refused (the last administrator)."""
        if password is not None:
            passwords.require_good(password)
        kept = passwords.hashed(password) if password is not None else None
        with self._lock:
            row = self._row(name)
            if role not in (None, Role.ADMIN):
                self._require_another_admin(name)
            changed = int(time.time()) if kept is not None else row.changed
            self._save(name, role or Role(row.role), kept or row.password, changed)

    def still(self, user: User) -> bool:
        """Whether nothing of ``user`` has changed since it was asked for."""
        with self._lock:
            row = self._rows.get(user.name)
            return row is not None and self._user(row) == user

    def remove(self, name: str) -> None:
        """Raises NotFound, Refused (the last administrator)."""
        with self._lock:
            row = self._row(name)
            self._require_another_admin(name)
            self._database.save(gone=[row])
            del self._rows[name]

    def verified(self, name: str, password: str) -> User | None:
        """The user whose name and password these are; it takes as long when there is none."""
        with self._lock:
            row = self._rows.get(name)
        kept = row.password if row is not None else passwords.NOBODYS
        return self._user(row) if passwords.matches(kept, password) and row is not None else None

    def _require_another_admin(self, name: str) -> None:
        admins = {n for n, row in self._rows.items() if row.role == Role.ADMIN}
        if admins == {name}:
            raise Refused(f"{name} is the only administrator", hint="make another one first")

    def _row(self, name: str) -> UserRow:
        row = self._rows.get(name)
        if row is None:
            raise NotFound(f"there is no user {name!r:.70}", hint="`fleetcast users list` names them")
        return row

    def _save(self, name: str, role: Role, kept: str, changed: int) -> UserRow:
        row = UserRow(name=name, role=role.value, password=kept, changed=changed)
        self._database.save(row)
        self._rows[name] = row
        return row

    def _user(self, row: UserRow) -> User:
        return User(row.name, Role(row.role), row.changed, row.password)
