"""The operator's command line as a client of the REST API: where the server is, and who we are.

On the server's own machine everything is found in its state directory; from elsewhere the URL, the
server's key and a file with the operator's token are given.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from castcore.control import API
from castcore.edge.net.identity import CERTIFICATE_FILE, certificate_digest
from castcore.edge.net.pinned import PinnedHttps, fetch_statement
from castcore.errors import DiskFailed, NotFound, Refused

from castserver.accounts.operatortoken import TOKEN_FILE
from castserver.cli import arguments
from castserver.state.statedir import default_state

DEFAULT_SERVER = "https://127.0.0.1:8443"
LONGEST_TOKEN = 1000
FETCH_SECONDS = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which server an action calls, and ``--json``, which may stand behind the action too."""
    # SUPPRESS, so that it does not undo one given before.
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="one JSON object a line, the last the result",
    )
    add_server(parser)


def add_server(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say which server, for a command without actions."""
    parser.add_argument("--server", default=DEFAULT_SERVER, metavar="URL", help="default: %(default)s")
    parser.add_argument(
        "--state",
        type=Path,
        default=default_state(),
        metavar="DIR",
        help="the server's state, on its own machine (default: $FLEETCAST_STATE, else %(default)s)",
    )
    parser.add_argument(
        "--token", type=Path, metavar="FILE", help="the operator's token, from elsewhere"
    )
    parser.add_argument("--key", metavar="HEX", help="the server's public key, from elsewhere")


def add_actions(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    helps: Mapping[str, str],
    subject: tuple[str, str] | None = None,
) -> None:
    """Declare an action for each of ``helps`` (name: help), with how the server is reached.

    ``subject`` is the name and the help of the argument that each of them takes.
    """
    for name, what in helps.items():
        action = actions.add_parser(name, help=what)
        if subject is not None:
            action.add_argument(subject[0], help=subject[1])
        add_arguments(action)


class Operator:
    """Calls the API of one server; every call raises NetworkFailed, Untrusted, NotFound or Refused."""

    def __init__(self, https: PinnedHttps) -> None:
        self._https = https

    @classmethod
    def of(cls, args: argparse.Namespace) -> Operator:
        """The server that ``args`` name. Raises NotFound, Refused, DiskFailed, NetworkFailed."""
        token = _token(args.token or args.state / TOKEN_FILE)
        if args.key is not None:
            key = arguments.public_key(args.key, "--key", "`fleetcast serve --json`")
            digest = fetch_statement(args.server, key).certificate_digest
        else:
            digest = _kept_digest(args.state)
        return cls(PinnedHttps(args.server, digest, token))

    def get(self, *path: str, query: Mapping[str, object] | None = None) -> Any:
        """The answer to GET on the path with these steps, and ``query``."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._https.get_json(_path(path) + asked)

    def fetch(self, *path: str, query: Sequence[tuple[str, str]] = (), limit: int) -> bytes:
        """The bytes that GET answers on the path with these steps, at most ``limit``."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._https.get(_path(path) + asked, timeout=FETCH_SECONDS, limit=limit)

    def post(self, *path: str, body: Any = None) -> Any:
        """The answer to POST on the path with these steps."""
        return self._https.post_json(_path(path), {} if body is None else body)

    def send(self, *path: str, data: bytes) -> Any:
        """The answer to POST of the bytes ``data`` on the path with these steps."""
        where = _path(path)
        return self._https.parsed(where, self._https.post(where, data, timeout=FETCH_SECONDS))

    def put(self, *path: str, body: Any) -> Any:
        """The answer to PUT on the path with these steps."""
        return self._https.put_json(_path(path), body)


def _path(steps: tuple[str, ...]) -> str:
    return "/".join((API, *(quote(step, safe="") for step in steps)))


def _kept_digest(state: Path) -> bytes:
    try:
        return certificate_digest(state / CERTIFICATE_FILE)
    except OSError:
        raise NotFound(
            f"{state} is no server's state directory", hint="name it with --state, or give --key"
        ) from None


def _token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            token = file.read(LONGEST_TOKEN).decode("ascii").strip()
    except FileNotFoundError:
        raise NotFound(
            f"there is no operator's token at {path}", hint="name its file with --token, or --state"
        ) from None
    except OSError as error:
        raise DiskFailed(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{path} holds no token") from None
    return token
