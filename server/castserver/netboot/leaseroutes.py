"""What the operator calls about addresses: leases of our own DHCP, reservations, who gets any."""

import time
from ipaddress import IPv4Address

from castcore.boot import LeaseState
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.viewbase import View
from castserver.api.views import ErrorView, Refusals
from castserver.netboot.leasebook import KeptLease

_REFUSED: Refusals = {403: {"model": ErrorView, "description": "The address or the MAC cannot be used"}}
_MISSING: Refusals = {404: {"model": ErrorView, "description": "Nothing is reserved for this machine"}}

routes = operator_routes("addresses")


class LeaseView(View):
    """An address and who has it, or had it last."""

    interface: str
    address: str
    mac: str = Field(description="of an address put aside: who was found to use it; empty: unknown")
    state: str = Field(
        description="leased, expired, or aside: in use by somebody who did not get it here"
    )
    expires: int = Field(description="Unix seconds")


class Reservation(View):
    """An address kept for one machine."""

    mac: str
    address: str


class LeaseRule(BaseModel):
    """Who gets a lease."""

    model_config = ConfigDict(extra="forbid")

    everyone: StrictBool = Field(
        description="machines too that do not boot from the network; else only those that do, once did,"
        " or have a reservation"
    )


class NewReservation(BaseModel):
    """An address to keep for one machine."""

    model_config = ConfigDict(extra="forbid")

    mac: str = Field(max_length=40)
    address: IPv4Address


@routes.get("/leases", summary="The addresses given out by our own DHCP")
def list_leases(parts: Parts) -> list[LeaseView]:
    """By interface and address; those that have run out too, until another machine gets them."""
    now = time.time()
    return [_view(kept, now) for kept in parts.leases.leases()]


@routes.get("/lease-rule", summary="Who gets a lease")
def show_rule(parts: Parts) -> LeaseRule:
    """As the operator decided last."""
    return LeaseRule(everyone=parts.leases.rules().everyone)


@routes.post("/lease-rule", summary="Decide who gets a lease")
def set_rule(parts: Parts, body: LeaseRule) -> LeaseRule:
    """From the next request on; what was leased before runs out."""
    parts.leases.set_everyone(body.everyone)
    return show_rule(parts)


@routes.get("/reservations", summary="The addresses kept for certain machines")
def list_reservations(parts: Parts) -> list[Reservation]:
    """By address."""
    kept = sorted(parts.leases.rules().reservations.items(), key=lambda item: item[1])
    return [Reservation(mac=mac, address=str(address)) for mac, address in kept]


@routes.post("/reservations", summary="Keep an address for a machine", responses=_REFUSED)
def reserve(parts: Parts, body: NewReservation) -> Reservation:
    """In place of what was kept for it. Who has the address now loses it at the next renewal."""
    mac, address = parts.leases.reserve(body.mac, body.address)
    return Reservation(mac=mac, address=str(address))


@routes.post(
    "/reservations/{mac}/remove", summary="Keep no address for a machine", responses=_MISSING | _REFUSED
)
def unreserve(parts: Parts, mac: Name) -> list[Reservation]:
    """The machine gets any address again; the answer is the reservations that are left."""
    parts.leases.unreserve(mac)
    return list_reservations(parts)


def _view(kept: KeptLease, now: float) -> LeaseView:
    lease = kept.lease
    if lease.expires <= now:
        state = "expired"
    else:
        state = "aside" if lease.state is LeaseState.ASIDE else "leased"
    return LeaseView(
        interface=kept.interface,
        address=str(lease.address),
        mac=lease.mac,
        state=state,
        expires=int(lease.expires),
    )
