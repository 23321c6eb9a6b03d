"""What one server was told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from castcore.boot import WantedMode
from castcore.edge.net.interface import Interface

from castserver.licences.licenceterms import LicenceTerms
from castserver.netboot.bootstate import DeployEnd


@dataclass(frozen=True)
class NetworkUse:
    """How casts use every interface: ``rate`` bytes a second at most together, 0: what the link carries.

    ``ttl``: hops of the multicast; ``jumbo``: packets of 8,968 bytes; ``polite``: half of the link, and
    other traffic first; ``querier``: ask who listens while nobody else does.
    """

    rate: int = 0
    ttl: int = 1
    jumbo: bool = False
    polite: bool = False
    querier: bool = False


@dataclass(frozen=True)
class ServerSettings:
    """What ``fleetcast serve`` was told: at least one of ``interfaces``, where the clients are.

    ``boot_tree`` is None when nothing is booted but what a deploy medium has; ``media`` are files and
    devices watched for such media beside the machine's disks. ``wanted`` and ``own_dhcp`` say what is
    served to machines that boot, by the interface's name, ``deploy_ends`` what turns PXE deploy off;
    what they leave out is as it was chosen last. ``headless``: nobody sits at the server. ``licences``:
    whose count beside this server's own, and what is cast without. ``replace_ipxe``: see BootPlace.
    ``more_images``: further folders that images are cast from.
    ``database``: ``sqlite`` or a URL, None: the one used before; ``database_passfile`` has its password.
    ``approve_clients``: machines wait for approval; False: as it was chosen last.
    ``network``: how casts use it.
    """

    state: Path
    images: Path
    interfaces: tuple[Interface, ...]
    name: str
    https_port: int = 8443
    wanted: Mapping[str, WantedMode] = field(default_factory=lambda: MappingProxyType({}))
    own_dhcp: frozenset[str] = frozenset()
    deploy_ends: frozenset[DeployEnd] | None = None
    headless: bool = True
    boot_tree: Path | None = None
    http_port: int = 8080
    extra_cmdline: str = ""
    replace_ipxe: bool = False
    rules: bytes = b""
    media: tuple[Path, ...] = ()
    licences: LicenceTerms = field(default_factory=LicenceTerms)
    session_minutes: int = 30
    more_images: tuple[Path, ...] = ()
    database: str | None = None
    database_passfile: Path | None = None
    approve_clients: bool = False
    network: NetworkUse = field(default_factory=NetworkUse)

    @property
    def url(self) -> str:
        """Where clients and browsers find the server, by the first of its interfaces."""
        return self.url_on(self.interfaces[0])

    def url_on(self, interface: Interface) -> str:
        """Where those find it who are on the network of ``interface``."""
        return f"https://{interface.host}:{self.https_port}"
