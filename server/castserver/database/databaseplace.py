"""Where a database is: in a file of a state directory, or on a PostgreSQL server, named by its URL.

The URL and the password file are written as PostgreSQL's own programs take them (PostgreSQL manual,
34.1.1.2 and 34.16). A password in a URL is refused: everybody on the machine can read a command line.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from castcore.errors import NotFound, Refused

SQLITE = "sqlite"
SQLITE_FILE = "server.sqlite"
SCHEME = "postgresql"
PORT = 5432
NAME = "fleetcast"
SOCKETS = "/run/postgresql"
_EXAMPLE = f"as in {SCHEME}://{NAME}@dbhost/{NAME}?sslmode=verify-full"
_WHERE = "give it in a password file ($PGPASSFILE names one), or by $PGPASSWORD"


class Tls(StrEnum):
    """How a PostgreSQL server is reached: without TLS, with it if it can, with it, or proven by it."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY = "verify-full"


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """A database on a server; a ``host`` that begins with "/" is the directory of its socket.

    ``roots``: the file with the certificates that it is proven by; "": those of the system.
    """

    host: str
    port: int = PORT
    database: str = NAME
    user: str = NAME
    tls: Tls = Tls.PREFER
    roots: str = ""

    @property
    def socket(self) -> str:
        """The path of its socket; "" when it is reached by TCP."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else ""

    def __str__(self) -> str:
        """Its URL: the same place when parsed again."""
        words = {"host": self.host if self.socket else "", "port": str(self.port) if self.socket else ""}
        words |= {"sslmode": "" if self.tls is Tls.PREFER else self.tls, "sslrootcert": self.roots}
        query = "&".join(f"{name}={quote(word)}" for name, word in words.items() if word)
        host = f"[{self.host}]" if ":" in self.host else self.host
        at = "" if self.socket else f"{host}:{self.port}"
        named = f"{SCHEME}://{quote(self.user, safe='')}@{at}/{quote(self.database, safe='')}"
        return named + (f"?{query}" if query else "")


Place = Path | PostgresPlace


def parse_place(text: str, state: Path) -> Place:
    """``sqlite`` is the file in the directory ``state``; otherwise a URL. Raises Refused."""
    return state / SQLITE_FILE if text == SQLITE else parse_url(text)


def place_of(text: str) -> Place:
    """A URL, or the file in the state directory that is named. Raises Refused."""
    return parse_url(text) if re.match(r"[a-z+0-9]+:", text) else Path(text) / SQLITE_FILE


def parse_url(text: str) -> PostgresPlace:
    """The place that a URL names. Raises Refused; a password is not repeated."""
    try:
        url = urlsplit(text)
        words = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        if url.password is not None or "password" in words:
            raise Refused("the database's URL has a password in it", hint=_WHERE)
        if url.scheme not in (SCHEME, "postgres") or url.fragment:
            raise ValueError("another kind of URL")
        host = words.pop("host", "") or unquote(url.hostname or "") or SOCKETS
        place = PostgresPlace(
            host,
            int(words.pop("port", PORT if url.port is None else url.port)),
            unquote(url.path.removeprefix("/")) or NAME,
            unquote(url.username or NAME),
            Tls(words.pop("sslmode", Tls.PREFER)),
            words.pop("sslrootcert", ""),
        )
    except ValueError:
        raise Refused("that is no database's URL", hint=_EXAMPLE) from None
    if words or "\0" in text or not 0 < place.port < 1 << 16 or "/" in place.database + place.user:
        raise Refused("the database's URL asks for what is not known here", hint=_EXAMPLE)
    return place


def password_for(
    place: PostgresPlace, file: Path | None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """What ``$PGPASSWORD`` or the password file says; None: it may be asked for none.

    ``file``, else ``$PGPASSFILE``, else ``~/.pgpass``. Raises NotFound, Refused: others may read it.
    """
    if file is None and (word := environment.get("PGPASSWORD")):
        return word
    named = file or (Path(n) if (n := environment.get("PGPASSFILE")) else None)
    chosen = named or Path(environment.get("HOME", "/nonexistent")) / ".pgpass"
    try:
        lines = chosen.read_text().splitlines()
        mode = chosen.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        if named is None:
            return None
        raise NotFound(f"{chosen} cannot be read: {error}", hint=_WHERE) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(f"others may read the passwords in {chosen}", hint=f"chmod 0600 {chosen}")
    return next((word for line in lines if (word := _matching(line, place)) is not None), None)


def _matching(line: str, place: PostgresPlace) -> str | None:
    r"""The password of a line ``host:port:database:user:password``; "\" makes a letter plain."""
    found = re.fullmatch(r"(?!#)" + ":".join([r"((?:\\.|[^:\\])*)"] * 5), line)
    if found is None:
        return None
    *words, password = (re.sub(r"\\(.)", r"\1", word) for word in found.groups())
    hosts = {place.host, "localhost"} if place.socket else {place.host}
    wanted = (hosts, {str(place.port)}, {place.database}, {place.user})
    fits = all(word == "*" or word in known for word, known in zip(words, wanted, strict=True))
    return password if fits else None
