"""What HTTP serves to one machine alone, made when it asks: its boot script, and its boot image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from castcore.boot import (
    BootDecision,
    BootEvent,
    BootPolicy,
    BootStage,
    ClientBoot,
    DhcpRequest,
    bootnames,
    scripts,
)
from castcore.boot.bootclient import kind_of
from castcore.boot.bootimage import uefi_refusal
from castcore.boot.bootnames import MachineFile, MachineName

from castserver.services.bootfiles import TEXT, BootFile, Caching, made
from castserver.services.imageorders import ImageOrder, ImageOrders


@dataclass(frozen=True)
class MachineFiles:
    """The files of every machine; ``find`` may be called from several threads."""

    client: ClientBoot
    policy: BootPolicy
    orders: ImageOrders
    on_event: Callable[[BootEvent], None]

    def find(self, name: str) -> BootFile | None:
        """The file with that canonical ``name``; None: malformed, or there is none."""
        if order := bootnames.order_of(name):
            found = self.orders.find(order)
            return None if found is None else self._image(found, "")
        wanted = bootnames.machine_name(name)
        if wanted is None:
            return None
        if wanted.file is MachineFile.IMAGE:
            return self._ordered(wanted)
        return _script(self._script(wanted), wanted.mac)

    def meet(self, request: DhcpRequest) -> None:
        """Hear what a machine asks by DHCP: what is ordered for one that shows to be UEFI must suit it.

        Firmware without HTTP boot never asks for the image, so this is where it is refused.
        """
        kind = kind_of(request)
        if kind is None or not kind.is_uefi:
            return
        order = self.orders.newest(request.mac, request.uuid)
        if order is not None and not order.used:
            self._refused(order, request.mac)

    def _ordered(self, wanted: MachineName) -> BootFile | None:
        """The image for UEFI's HTTP boot; who asks once more for what it got gets it again."""
        order = self.orders.newest(wanted.mac, wanted.uuid)
        if order is None or self._refused(order, wanted.mac):
            return None
        return self._image(order, wanted.mac)

    def _image(self, order: ImageOrder, mac: str) -> BootFile:
        image = order.image
        return BootFile(
            image.size,
            order.open,
            # The content of an order never changes: what was changed since is not served.
            tag=order.id,
            caching=Caching.ASK_AGAIN,
            media_type=image.form.media_type,
            mac=mac,
            quiet=order.used,
            sent=None if order.used else lambda: self.orders.use(order.id),
        )

    def _script(self, wanted: MachineName) -> str:
        decision = self.policy.decide(wanted.mac, wanted.uuid)
        if wanted.file is MachineFile.GRUB:
            ours = decision is BootDecision.CLIENT
            return scripts.grub_client(self.client, wanted.mac) if ours else scripts.grub_local()
        if decision is BootDecision.IMAGE:
            order = self.orders.newest(wanted.mac, wanted.uuid)
            uefi = wanted.file is MachineFile.IPXE_UEFI
            if order is not None and not (uefi and self._refused(order, wanted.mac)):
                return scripts.ipxe_image(self.client.place, order.id, order.image)
            # It was dropped this very moment.
            decision = self.policy.decide(wanted.mac, wanted.uuid)
        if decision is BootDecision.CLIENT:
            return scripts.ipxe_client(self.client, wanted.mac)
        return scripts.local_script()

    def _refused(self, order: ImageOrder, mac: str) -> bool:
        """Whether a UEFI machine cannot boot the image; it is told, and the order is dropped then."""
        why = uefi_refusal(order.image)
        if why:
            self.orders.drop(order.id)
            self.on_event(BootEvent(mac, BootStage.REFUSED, why))
        return bool(why)


def _script(text: str, mac: str) -> BootFile:
    file = made(text.encode(), TEXT)
    return BootFile(file.size, file.open, media_type=TEXT, mac=mac)
