"""``fleetcast serve`` in the lab, started and operated as an operator would: by command and API."""

from __future__ import annotations

import hashlib
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType
from typing import Any

from castcore.control import API, Registration
from castcore.edge import run
from castcore.edge.net.identity import CERTIFICATE_FILE
from castcore.edge.net.pinned import PinnedHttps
from castcore.errors import FleetcastError, NetworkFailed

from tests.support.castlab import ENVIRONMENT
from tests.support.registering import registered
from tests.vm.network import SERVER_ADDRESS, SERVER_INTERFACE, Network, entered, inside

HTTPS_PORT = 8443
START_SECONDS = 60.0
# This checkout's, wherever the environment's own packages come from.
FLEETCAST = ("env", f"PYTHONPATH={ENVIRONMENT['PYTHONPATH']}", sys.executable, "-m", "castserver")


@dataclass(frozen=True)
class LabServer:
    """A running server; requests enter its namespace for as long as they take."""

    network: Network
    https: PinnedHttps
    process: Popen[bytes]
    log: Path

    def get(self, path: str) -> Any:
        """The JSON answer to GET ``/api/v1`` + ``path``."""
        with entered(self.network.server):
            return self.https.get_json(API + path)

    def post(self, path: str, value: Any = None) -> Any:
        """The JSON answer to POST ``/api/v1`` + ``path``."""
        with entered(self.network.server):
            return self.https.post_json(API + path, value)

    def register(self, about: Registration) -> str:
        """Make a machine known that our client does not run on; its id."""
        with entered(self.network.server):
            return registered(self.https, about)[0]


@contextmanager
def lab_server(
    network: Network,
    folder: Path,
    *,
    images: Path,
    tree: Path | None,
    modes: Mapping[str, str] = MappingProxyType({SERVER_INTERFACE: "proxy"}),
    options: Sequence[str] = (),
) -> Iterator[LabServer]:
    """The server on the lab's network until the block is left; its state and log live in ``folder``.

    ``modes`` says by interface what is served to machines that boot.

    Raises FleetcastError with the end of its log when it does not come up.
    """
    state, log = folder / "server", folder / "server.log"
    command = [*FLEETCAST, "serve", "--state", str(state), "--images", str(images)]
    command += [*options, *(["--boot-tree", str(tree)] if tree is not None else [])]
    for interface, mode in modes.items():
        command += ["--interface", interface, "--boot-mode", f"{interface}={mode}"]
    enter = inside(network.server)
    with (
        log.open("wb") as said,
        run.started([*enter, *command], stdout=said, merged=True) as process,
    ):
        yield _wait_ready(network, state, process, log)


def _wait_ready(network: Network, state: Path, process: Popen[bytes], log: Path) -> LabServer:
    url = f"https://{SERVER_ADDRESS}:{HTTPS_PORT}"
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            pem = (state / CERTIFICATE_FILE).read_text()
            token = (state / "operator.token").read_text().strip()
            digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()
            server = LabServer(network, PinnedHttps(url, digest, token), process, log)
            server.get("/state")
        except (FileNotFoundError, NetworkFailed):
            time.sleep(0.3)
        else:
            return server
    tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
    raise FleetcastError(f"`fleetcast serve` did not come up:\n  {tail}", hint=f"see {log}")
