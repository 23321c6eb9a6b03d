"""What the API shows of network booting: PXE deploy, and how it stands on each interface."""

from __future__ import annotations

from castcore.boot import InterfaceMode, Presence, WantedMode
from pydantic import Field

from castserver.api.viewbase import View
from castserver.netboot.bootstate import BootingState, DeployEnd, Kept


class OtherServerView(View):
    """Another DHCP or PXE server; `mac` and `name` are empty when unknown."""

    address: str
    mac: str
    name: str
    dhcp: bool = Field(description="it gives addresses")
    pxe: bool = Field(description="it gives boot information")


class NeighbourView(View):
    """Another Fleetcast server on one of our networks."""

    name: str
    url: str
    interface: str


class KeptView(View):
    """Network booting on one interface."""

    interface: str
    address: str
    wanted: WantedMode = Field(description="what the operator chose")
    own_dhcp: bool = Field(description="whether our own DHCP server is allowed")
    mode: InterfaceMode = Field(description="what is served now")
    reason: str
    warning: str = Field(description="another PXE server, by address; empty: none")
    problem: str = Field(description="what keeps it from its mode; empty: nothing")
    note: str = Field(description="the last thing that happened here, as a withdrawal; empty: nothing")
    dhcp: Presence = Field(description="whether another DHCP server answers")
    servers: list[OtherServerView]


class BootingView(View):
    """PXE deploy, and every interface."""

    deploy: bool
    why: str = Field(description="what turned PXE deploy off; empty while it is on")
    ends: list[DeployEnd] = Field(description="what turns it off by itself")
    interfaces: list[KeptView]
    neighbours: list[NeighbourView]


def booting_view(state: BootingState) -> BootingView:
    """``state`` as the API shows it."""
    return BootingView(
        deploy=state.deploy.on,
        why=state.deploy.why,
        ends=sorted(state.deploy.ends),
        interfaces=[kept_view(kept) for kept in state.interfaces],
        neighbours=[NeighbourView.model_validate(other) for other in state.neighbours],
    )


def kept_view(kept: Kept) -> KeptView:
    """One interface."""
    return KeptView(
        interface=kept.interface,
        address=kept.address,
        wanted=kept.choice.wanted,
        own_dhcp=kept.choice.own_dhcp,
        mode=kept.mode,
        reason=kept.reason,
        warning=kept.warning,
        problem=kept.problem,
        note=kept.note,
        dhcp=kept.presence,
        servers=[OtherServerView.model_validate(found) for found in kept.servers],
    )
