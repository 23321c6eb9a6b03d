"""The lab: network, site DHCP server, cast server and virtual PCs behind one block that cleans up."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm import network
from tests.vm.labserver import LabServer, lab_server
from tests.vm.machine import PC, Running, accelerator, blank_disk, powered
from tests.vm.site import SiteDhcp, site_dhcp

# The client's screen goes where a serial log can watch it.
CLIENT_CONSOLE = "console=tty0 console=ttyS0"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Lab:
    """A running lab; what is powered on goes off when its block is left."""

    folder: Path
    network: network.Network
    site: SiteDhcp
    server: LabServer
    accel: str
    _stack: ExitStack = field(repr=False)

    def power_on(self, pc: PC, *, disk: Path | None = None, lose_per_mille: int = 0) -> Running:
        """Power on ``pc`` with ``disk``, or a blank one, on a port that may lose packets towards it."""
        port = self.network.add_port(pc.name)
        if lose_per_mille:
            self.network.lose(port, lose_per_mille)
        disk = disk or blank_disk(self.folder / f"{pc.name}.disk", pc.disk_size)
        enter = network.inside(self.network.lan)
        power = powered(pc, self.folder, disk, tap=port, inside=enter, accel=self.accel)
        return self._stack.enter_context(power)


@contextmanager
def lab(
    folder: Path,
    *,
    images: Path,
    tree: Path,
    say: Callable[[str], None],
    server_options: Sequence[str] = (),
    named_tree: bool = True,
) -> Iterator[Lab]:
    """A lab whose server boots PCs from ``tree`` and casts from ``images``; logs go to ``folder``.

    Without ``named_tree`` the server is told of no tree: it has to find one (on a medium).
    Raises what its parts raise. Whatever ends the block, nothing of the lab is left behind.
    """
    network.remove_stale(say)
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--extra-cmdline", CLIENT_CONSOLE, *server_options]
    with ExitStack() as stack:
        stack.enter_context(_signals_restored())
        try:
            net = stack.enter_context(network.built())
            site = stack.enter_context(site_dhcp(net, folder))
            told = tree if named_tree else None
            serving = lab_server(net, folder, images=images, tree=told, options=options)
            server = stack.enter_context(serving)
            pcs = stack.enter_context(ExitStack())
            yield Lab(folder, net, site, server, accelerator(kernel_of(tree)), pcs)
        finally:
            # A second Ctrl-C must not cut the cleaning short.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def _signals_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def kernel_of(tree: Path) -> Path:
    """The kernel of a PXE tree, by its ``tree.json``."""
    name = json.loads((tree / "tree.json").read_text())["files"]["kernel"]["name"]
    return tree / str(name)
