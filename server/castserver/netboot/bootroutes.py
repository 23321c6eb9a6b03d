"""The operator's calls about network booting: PXE deploy, and what is served on each interface."""

from castcore.boot import WantedMode
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.views import ErrorView, Refusals
from castserver.netboot.bootstate import Choice, DeployEnd
from castserver.netboot.bootviews import BootingView, booting_view

_CASTING: Refusals = {403: {"model": ErrorView, "description": "A cast runs: nothing can be changed"}}
_MISSING: Refusals = {
    404: {"model": ErrorView, "description": "No machines are booted on such an interface"}
}

routes = operator_routes("operator", "/booting")


class NewDeploy(BaseModel):
    """What shall hold from now on; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    deploy: StrictBool | None = Field(None, description="PXE deploy on or off")
    ends: list[DeployEnd] | None = Field(
        None, max_length=len(DeployEnd), description="what turns it off by itself"
    )


class NewChoice(BaseModel):
    """What shall be served on an interface; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    wanted: WantedMode | None = None
    own_dhcp: StrictBool | None = Field(
        None, description="whether our own DHCP server may run where no other was found"
    )


@routes.get("", summary="Network booting")
def show_booting(parts: Parts) -> BootingView:
    """PXE deploy, what is served on each interface and why, and which other servers are there."""
    return booting_view(parts.booting.state())


@routes.put("", summary="Turn PXE deploy on or off", responses=_CASTING)
def put_deploy(parts: Parts, body: NewDeploy) -> BootingView:
    """Off: machines that boot from the network are sent to their disks. It outlives a restart."""
    ends = None if body.ends is None else frozenset(body.ends)
    parts.booting.set_deploy(on=body.deploy, ends=ends)
    return show_booting(parts)


@routes.put("/{interface}", summary="Choose for one interface", responses=_CASTING | _MISSING)
def put_interface(parts: Parts, interface: Name, body: NewChoice) -> BootingView:
    """It holds from the next half second on, and outlives a restart."""
    now = parts.booting.chosen(interface)
    wanted = now.wanted if body.wanted is None else body.wanted
    own_dhcp = now.own_dhcp if body.own_dhcp is None else body.own_dhcp
    parts.booting.choose(interface, Choice(wanted, own_dhcp))
    return show_booting(parts)
