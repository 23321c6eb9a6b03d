"""The simple DHCP server: a lease and the boot information in one answer (RFC 2131 section 4.3).

For networks without a DHCP server. No gateway is given: boot traffic stays on its network.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from castcore.boot import proxy
from castcore.boot.answers import PXE_PORT, reply_to
from castcore.boot.bootclient import BootInfo, BootPlace, boot_info, kind_of
from castcore.boot.leases import LeaseState, LeaseTable
from castcore.boot.message import LOOKING_CLASS, UNSPECIFIED, DhcpRequest, MessageType
from castcore.boot.options import Option
from castcore.boot.policy import BootDecision, BootEvent, BootPolicy, BootStage, Verdict


def decide(
    request: DhcpRequest,
    port: int,
    place: BootPlace,
    policy: BootPolicy,
    table: LeaseTable,
    now: float,
) -> Verdict:
    """What the server at ``place`` answers to a ``request`` that came to ``port`` at ``now``.

    ``now`` is in Unix seconds, as the leases are.
    """
    if port == PXE_PORT:
        return proxy.decide(request, port, place, policy)
    if request.giaddr != UNSPECIFIED and request.giaddr not in table.pool.network:
        return _foreign(request, table)
    if request.message_type is MessageType.RELEASE:
        table.release(request.mac, request.ciaddr, now)
    elif request.message_type is MessageType.DECLINE:
        return _decline(request, table, now)
    elif request.message_type is MessageType.DISCOVER:
        return _discover(request, place, policy, table, now)
    elif request.message_type is MessageType.REQUEST:
        return _request(request, place, policy, table, now)
    return Verdict()


def in_use(mac: str, address: IPv4Address, user: str, table: LeaseTable, now: float) -> BootEvent | None:
    """Put ``address``, which ``mac`` has or was to get, aside; None when it is no longer its."""
    if not table.set_aside(mac, address, now, user):
        return None
    by = f"by {user}" if user else "by another machine"
    detail = f"{address} is in use {by}, which did not get it here: put aside"
    return BootEvent(mac, BootStage.DISCOVER, detail)


def _foreign(request: DhcpRequest, table: LeaseTable) -> Verdict:
    """A machine of another network, through a relay: our addresses are of no use there."""
    if request.message_type is not MessageType.DISCOVER or kind_of(request) is None:
        return Verdict()
    detail = (
        f"asked through the relay {request.giaddr}: only {table.pool.network} has addresses here;"
        " its network needs a DHCP server of its own, beside which a proxy serves it"
    )
    return Verdict(event=BootEvent(request.mac, BootStage.REFUSED, detail))


def _decline(request: DhcpRequest, table: LeaseTable, now: float) -> Verdict:
    return Verdict(event=in_use(request.mac, request.requested, "", table, now))


def _discover(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable, now: float
) -> Verdict:
    info, event, served = _boot(request, place, policy, table)
    if not served:
        return Verdict(event=event)
    # Another server that looks around is answered, so that it sees us, and is no machine that boots.
    looks = request.user_class == LOOKING_CLASS
    event = None if looks else event
    booted = info is not None and not looks
    lease = table.offer(request.mac, request.requested, now, booted=booted)
    if lease is None:
        pool = table.pool
        detail = f"no address left in {pool.first} to {pool.last}"
        return Verdict(event=BootEvent(request.mac, BootStage.FAILED, detail))
    reply = reply_to(
        request,
        MessageType.OFFER,
        place.address,
        info=info,
        yiaddr=lease.address,
        options=_lease_options(table),
    )
    return Verdict(reply, event, probe=lease.state is LeaseState.PROBING)


def _request(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable, now: float
) -> Verdict:
    if request.server_id not in (UNSPECIFIED, place.address):
        table.release_offers(request.mac, now)
        return Verdict()
    info, _event, served = _boot(request, place, policy, table)
    if not served:
        return Verdict()
    wanted = request.requested if request.requested != UNSPECIFIED else request.ciaddr
    if not table.bind(request.mac, wanted, now, booted=info is not None):
        return _nak(request, place, wanted, table, now)
    reply = reply_to(
        request,
        MessageType.ACK,
        place.address,
        info=info,
        yiaddr=wanted,
        options=_lease_options(table),
    )
    detail = f"address {wanted}"
    reserved = table.reserved(request.mac)
    if reserved not in (None, wanted):
        detail += f", for its reserved {reserved} is taken"
    return Verdict(reply, BootEvent(request.mac, BootStage.LEASED, detail))


def _boot(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable
) -> tuple[BootInfo | None, BootEvent | None, bool]:
    """Boot information for the machine, what to tell of it, and whether it gets an address at all."""
    kind = kind_of(request, replace_ipxe=place.replace_ipxe)
    if kind is None:
        return None, None, table.serves(request.mac)
    decision, event = proxy.boot_decision(request, kind, place, policy)
    if decision is BootDecision.IGNORE:
        return None, event, False
    return boot_info(request, kind, decision, place), event, True


def _nak(
    request: DhcpRequest, place: BootPlace, wanted: IPv4Address, table: LeaseTable, now: float
) -> Verdict:
    """NAK an address the machine cannot have; silence for one we know nothing of.

    RFC 2131 section 4.3.2, INIT-REBOOT: a server without record of the client must stay silent, unless
    the address is on the wrong network. What it had and cannot have again is free for its owner.
    """
    chose_us = request.server_id == place.address
    foreign = wanted not in table.pool.network
    if not (chose_us or foreign or table.knows(request.mac)):
        return Verdict()
    table.release(request.mac, wanted, now)
    detail = f"asked for {wanted}, which it cannot have"
    options = ((int(Option.MESSAGE), b"address not available"),)
    reply = reply_to(request, MessageType.NAK, place.address, options=options)
    return Verdict(reply, BootEvent(request.mac, BootStage.FAILED, detail))


def _lease_options(table: LeaseTable) -> tuple[tuple[int, bytes], ...]:
    seconds = table.pool.lease_seconds
    network = table.pool.network
    return (
        (Option.LEASE_TIME, struct.pack("!I", seconds)),
        # RFC 2131 section 4.4.5: renew at half, rebind at seven eighths of the lease.
        (Option.RENEWAL_TIME, struct.pack("!I", seconds // 2)),
        (Option.REBINDING_TIME, struct.pack("!I", seconds * 7 // 8)),
        (Option.SUBNET_MASK, network.netmask.packed),
        (Option.BROADCAST_ADDRESS, network.broadcast_address.packed),
    )
