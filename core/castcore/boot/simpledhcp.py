"""The simple DHCP server: a lease and the boot information in one answer (RFC 2131 section 4.3).

For networks without a DHCP server. No gateway is given: boot traffic stays on its network.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from castcore.boot import proxy
from castcore.boot.answers import PXE_PORT, reply_to
from castcore.boot.bootclient import BootInfo, BootPlace, boot_info, kind_of
from castcore.boot.leases import LeaseTable
from castcore.boot.message import UNSPECIFIED, DhcpRequest, MessageType
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
    """What the server at ``place`` answers to a ``request`` that came to ``port`` at ``now``."""
    if port == PXE_PORT:
        return proxy.decide(request, port, place, policy)
    if request.message_type is MessageType.RELEASE:
        table.release(request.mac, request.ciaddr, now)
    elif request.message_type is MessageType.DECLINE:
        table.decline(request.mac, request.requested, now)
    elif request.message_type is MessageType.DISCOVER:
        return _discover(request, place, policy, table, now)
    elif request.message_type is MessageType.REQUEST:
        return _request(request, place, policy, table, now)
    return Verdict()


def _discover(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable, now: float
) -> Verdict:
    info, event, served = _boot(request, place, policy, table)
    if not served:
        return Verdict(event=event)
    address = table.offer(request.mac, request.requested, now)
    if address is None:
        pool = table.pool
        detail = f"no address left in {pool.first} to {pool.last}"
        return Verdict(event=BootEvent(request.mac, BootStage.FAILED, detail))
    reply = reply_to(
        request,
        MessageType.OFFER,
        place.address,
        info=info,
        yiaddr=address,
        options=_lease_options(table),
    )
    return Verdict(reply, event)


def _request(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable, now: float
) -> Verdict:
    if request.server_id not in (UNSPECIFIED, place.address):
        # It chose another server: our offer is free again (RFC 2131 section 4.3.2, SELECTING).
        for lease in table.leases(now):
            if lease.mac == request.mac:
                table.release(request.mac, lease.address, now)
        return Verdict()
    info, _event, served = _boot(request, place, policy, table)
    if not served:
        return Verdict()
    wanted = request.requested if request.requested != UNSPECIFIED else request.ciaddr
    if not table.bind(request.mac, wanted, now):
        return _nak(request, place, wanted, table)
    reply = reply_to(
        request,
        MessageType.ACK,
        place.address,
        info=info,
        yiaddr=wanted,
        options=_lease_options(table),
    )
    return Verdict(reply, BootEvent(request.mac, BootStage.LEASED, f"address {wanted}"))


def _boot(
    request: DhcpRequest, place: BootPlace, policy: BootPolicy, table: LeaseTable
) -> tuple[BootInfo | None, BootEvent | None, bool]:
    """Boot information for the machine, what to tell of it, and whether it gets an address at all."""
    kind = kind_of(request)
    if kind is None:
        return None, None, table.pool.serve_any or table.known(request.mac)
    decision, event = proxy.boot_decision(request, kind, policy)
    if decision is BootDecision.IGNORE:
        return None, event, False
    return boot_info(request, kind, decision, place), event, True


def _nak(request: DhcpRequest, place: BootPlace, wanted: IPv4Address, table: LeaseTable) -> Verdict:
    """NAK an address the machine cannot have; silence for one we know nothing of.

    RFC 2131 section 4.3.2, INIT-REBOOT: a server without record of the client must stay silent, unless
    the address is on the wrong network.
    """
    chose_us = request.server_id == place.address
    foreign = wanted not in table.pool.server.network
    if not (chose_us or foreign or table.known(request.mac)):
        return Verdict()
    detail = f"asked for {wanted}, which it cannot have"
    options = ((int(Option.MESSAGE), b"address not available"),)
    reply = reply_to(request, MessageType.NAK, place.address, options=options)
    return Verdict(reply, BootEvent(request.mac, BootStage.FAILED, detail))


def _lease_options(table: LeaseTable) -> tuple[tuple[int, bytes], ...]:
    seconds = table.pool.lease_seconds
    network = table.pool.server.network
    return (
        (Option.LEASE_TIME, struct.pack("!I", seconds)),
        # RFC 2131 section 4.4.5: renew at half, rebind at seven eighths of the lease.
        (Option.RENEWAL_TIME, struct.pack("!I", seconds // 2)),
        (Option.REBINDING_TIME, struct.pack("!I", seconds * 7 // 8)),
        (Option.SUBNET_MASK, network.netmask.packed),
        (Option.BROADCAST_ADDRESS, network.broadcast_address.packed),
    )
