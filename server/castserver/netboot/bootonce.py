"""Which machines boot an image once: the orders, and the boot policy with them.

An order waits until its machine has got, whole, a piece of the image that it asked for: all of it for
UEFI firmware, a sector for iPXE. A fetch that broke off leaves it waiting, so that the machine may ask
again. From then on the machine boots what it had before, while the image stays there for it to read:
iPXE reads on for as long as the machine runs from it, over a restart of the server too.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from castcore.boot import BootDecision, BootImage, ImageForm
from castcore.boot.bootimage import uefi_refusal
from castcore.errors import InUse, Refused

from castserver.casts.policy import boot_decision, boot_mac
from castserver.database.database import Database
from castserver.database.tables import BootOnceRow
from castserver.machines.clients import Client, Clients
from castserver.netboot.bootimages import BootImages
from castserver.services.imageorders import ImageOrder

_UEFI = "uefi"
# A machine that never came to our client again does not run from the image any more, by now.
USED_SECONDS = 30 * 24 * 3600


class Slot(StrEnum):
    """A machine has at most one order of each."""

    WAITING = "waiting"
    USED = "used"


@dataclass(frozen=True)
class Order:
    """An order for ``machine`` (an id, or the MAC of one never met).

    ``since`` (Unix seconds) it is in its slot.
    """

    id: str
    machine: str
    image: BootImage
    since: int


class BootOnce:
    """The orders. Implements ``castcore.boot.BootPolicy`` and ``services.imageorders.ImageOrders``."""

    def __init__(
        self, database: Database, images: BootImages, clients: Clients, changed: Callable[[], None]
    ) -> None:
        self.images = images
        self._database, self._clients, self._changed = database, clients, changed
        self._lock = threading.Lock()
        self._orders = {
            (row.machine, Slot(row.slot)): _from_row(row)
            for row in database.all(BootOnceRow)
            if row.order  # rows without one are of older servers
        }
        now = time.time()
        self._forget(lambda order: now - order.since > USED_SECONDS)

    def decide(self, mac: str, uuid: str) -> BootDecision:
        """What the machine boots over the network now."""
        ordered = self._of(self._names(mac, uuid), Slot.WAITING) is not None
        return boot_decision(boots=self._clients.decide(mac, uuid), ordered=ordered)

    def order(self, image: str, machines: Iterable[str]) -> list[str]:
        """Have ``machines`` (ids, names or MACs) boot ``image`` once; return their ids. All or none.

        Raises NotFound (image, machine), BadImage, DiskFailed, Refused (UEFI, a floppy).
        """
        found = self.images.get(image)
        names = list(dict.fromkeys(self._named(machine, found) for machine in machines))
        now = int(time.time())
        known = [self._clients.get(name) for name in names if not boot_mac(name)]
        with self._lock:
            # What was ordered for a card before its machine was met is replaced too.
            macs = [mac for client in known for mac in client.traits.macs]
            before = [(m, Slot.WAITING) for m in macs if (m, Slot.WAITING) in self._orders]
            for key in before:
                del self._orders[key]
            for name in names:
                order = Order(secrets.token_hex(16), name, found, now)
                self._orders[name, Slot.WAITING] = order
            self._save(*before, *((name, Slot.WAITING) for name in names))
        self._changed()
        return names

    def cancel(self, client: Client) -> None:
        """The machine boots what it had, unless it has begun already."""
        self._cancel((client.id, *client.traits.macs))

    def arrived(self, client: Client) -> None:
        """Our client runs on the machine: it does not run from an image."""
        names = (client.id, *client.traits.macs)
        self._forget(lambda order: order.machine in names)

    def take_back(self, machines: Iterable[str]) -> None:
        """As ``cancel``, for ids, names or MACs, of machines never met too. Raises NotFound, Refused."""
        for machine in machines:
            client = self._clients.find_met(machine)
            if client is None:
                self._cancel((boot_mac(machine),))
            else:
                self.cancel(client)

    def _cancel(self, names: Iterable[str]) -> None:
        with self._lock:
            at = [(n, Slot.WAITING) for n in names if (n, Slot.WAITING) in self._orders]
            for key in at:
                del self._orders[key]
            self._save(*at)
        self._changed()

    def delete(self, image: str) -> None:
        """Remove a stored image.

        Raises NotFound, DiskFailed, InUse: machines wait for it.
        """
        waiting = [o.machine for o in self.waiting() if o.image.name == image]
        if waiting:
            raise InUse(
                f"boot image {image} is ordered for {', '.join(waiting[:5])}",
                hint="`fleetcast bootimages cancel` takes orders back",
            )
        self.images.delete(image)
        self._forget(lambda order: order.image.name == image)

    def waiting(self) -> list[Order]:
        """The orders whose machines have not come yet."""
        with self._lock:
            return [order for (_, slot), order in self._orders.items() if slot is Slot.WAITING]

    def waiting_for(self, client: Client) -> str:
        """The name of the image the machine boots next; "" for none."""
        order = self._of((client.id, *client.traits.macs), Slot.WAITING)
        return "" if order is None else order.image.name

    def newest(self, mac: str, uuid: str) -> ImageOrder | None:
        """See ImageOrders."""
        names = self._names(mac, uuid)
        for slot in (Slot.WAITING, Slot.USED):
            if order := self._of(names, slot):
                return self._shown(order, slot)
        return None

    def find(self, order: str) -> ImageOrder | None:
        """See ImageOrders."""
        with self._lock:
            found = next(((o, s) for (_, s), o in self._orders.items() if o.id == order), None)
        return None if found is None else self._shown(*found)

    def use(self, order: str) -> None:
        """See ImageOrders."""
        with self._lock:
            found = self._take(order)
            if found is not None:
                self._orders[found.machine, Slot.USED] = replace(found, since=int(time.time()))
                self._save((found.machine, Slot.WAITING), (found.machine, Slot.USED))
        self._changed()

    def drop(self, order: str) -> None:
        """See ImageOrders."""
        with self._lock:
            found = self._take(order)
            if found is not None:
                self._save((found.machine, Slot.WAITING))
        self._changed()

    def _take(self, order: str) -> Order | None:
        waiting = (o for (_, slot), o in self._orders.items() if slot is Slot.WAITING and o.id == order)
        found = next(waiting, None)
        if found is not None:
            del self._orders[found.machine, Slot.WAITING]
        return found

    def _named(self, machine: str, image: BootImage) -> str:
        """What the machine (its id, name or MAC) is called in the orders. Raises NotFound, Refused."""
        client = self._clients.find_met(machine)
        if client is None:
            return boot_mac(machine)
        why = uefi_refusal(image) if client.registration.machine.firmware == _UEFI else ""
        if why:
            raise Refused(
                f"machine {client.id} starts by UEFI: {why}", hint="take an ISO or a disk image"
            )
        return client.id

    def _names(self, mac: str, uuid: str) -> tuple[str, ...]:
        client = self._clients.at_boot(mac, uuid)
        return (mac.lower(),) if client is None else (client.id, mac.lower())

    def _of(self, names: Iterable[str], slot: Slot) -> Order | None:
        with self._lock:
            return next((o for n in names if (o := self._orders.get((n, slot)))), None)

    def _shown(self, order: Order, slot: Slot) -> ImageOrder:
        path = self.images.path(order.image.name)
        return ImageOrder(order.id, order.image, path, used=slot is Slot.USED)

    def _forget(self, over: Callable[[Order], bool]) -> None:
        """Delete the orders that were used and are ``over``."""
        with self._lock:
            used = [at for at, order in self._orders.items() if at[1] is Slot.USED and over(order)]
            for at in used:
                del self._orders[at]
            self._save(*used)

    def _save(self, *keys: tuple[str, Slot]) -> None:
        """What is ordered at ``keys`` now, or that nothing is."""
        if not keys:
            return
        rows = [_to_row(key, self._orders[key]) for key in keys if key in self._orders]
        gone = [BootOnceRow(machine=m, slot=s.value) for m, s in keys if (m, s) not in self._orders]
        self._database.save(*rows, gone=gone)


def _from_row(row: BootOnceRow) -> Order:
    image = BootImage(row.image, row.size, row.changed, ImageForm(row.form))
    return Order(row.order, row.machine, image, row.since)


def _to_row(key: tuple[str, Slot], order: Order) -> BootOnceRow:
    image = order.image
    return BootOnceRow(
        machine=key[0],
        slot=key[1].value,
        order=order.id,
        image=image.name,
        size=image.size,
        changed=image.changed,
        form=image.form.value,
        since=order.since,
    )
