"""Where image commands find this server's key."""

from __future__ import annotations

import argparse
from pathlib import Path

from castcore.edge.image.signing import server_key
from castcore.trust import SigningKey

from castserver.state.statedir import default_state


def add_key_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--state``."""
    parser.add_argument(
        "--state",
        type=Path,
        default=default_state(),
        metavar="DIR",
        help="the server's state, with the key that signs images"
        " (default: $FLEETCAST_STATE, else %(default)s)",
    )


def own_key(args: argparse.Namespace) -> SigningKey | None:
    """The server's key; None where no server was ever started. Raises DiskFailed, Untrusted."""
    return server_key(args.state)
