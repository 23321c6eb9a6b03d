"""Each way in which a machine does not come has its sentence."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from castcore.boot import (
    BootEvent,
    BootStage,
    DhcpRequest,
    History,
    Kind,
    MessageType,
    Outlook,
    Transfer,
    away,
    continued,
    heard,
    tell,
    unheard,
)
from castcore.boot.history import MOST_STEPS
from castcore.boot.message import LOOKING_CLASS
from castcore.boot.story import span

MAC = "52:54:00:00:00:07"
OWN = IPv4Address("10.0.0.1")
SITE = IPv4Address("10.0.0.254")


def discover(kind: Kind = Kind.UEFI) -> BootEvent:
    return BootEvent(MAC, BootStage.DISCOVER, kind.value)


def said(stage: BootStage, detail: str = "") -> BootEvent:
    return BootEvent(MAC, stage, detail)


def sent(stage: BootStage, file: str, done: int = 100, *, over: bool = True) -> BootEvent:
    how = "sending" if not over else "complete" if done == 100 else "stopped: no answer any more"
    return BootEvent(MAC, stage, f"{file}: {how}", "", Transfer(file, done, 100, over))


def story(*events: BootEvent, pause: float = 1.0, until: float = 600.0) -> tuple[Outlook, str, str]:
    """What is told ``until`` seconds after the last of ``events``, ``pause`` seconds apart."""
    history = History(MAC)
    for number, event in enumerate(events):
        history = continued(history, event, 1000 + number * pause)
    told = tell(history, 1000 + (len(events) - 1) * pause + until)
    return told.outlook, told.sentence, told.hint


OFFERED = said(BootStage.OFFERED, "UEFI PXE: offered the client")
REQUESTED = said(BootStage.REQUESTED, "asked the DHCP server 10.0.0.254 for the address 10.0.0.7")
SHIM = sent(BootStage.TFTP, "shimx64.efi")
GRUB = sent(BootStage.TFTP, "grubx64.efi")
CONFIG = sent(BootStage.TFTP, "grub/grub.cfg")
KERNEL = sent(BootStage.KERNEL, "boot/vmlinuz")
INITRD = sent(BootStage.HTTP, "boot/initrd.img")
CHAIN = (discover(), OFFERED, REQUESTED)

TOOK = "it asked the DHCP server 10.0.0.254 for the address 10.0.0.7, but neither asked our port 4011"
STUCK = [
    ((discover(),), "its DISCOVER was heard, but got no answer from us in 10 min"),
    ((discover(), OFFERED), "it was offered our boot file, but asked for no address in 10 min"),
    (
        CHAIN,
        f"{TOOK} nor fetched a file by TFTP in 10 min",
    ),
    (
        (discover(Kind.HTTP), OFFERED, REQUESTED),
        f"{TOOK} nor fetched a file by HTTP in 10 min",
    ),
    (
        (discover(), OFFERED, said(BootStage.LEASED, "address 10.0.0.130")),
        "it has our address 10.0.0.130, but fetched no file by TFTP in 10 min",
    ),
    (
        (*CHAIN, said(BootStage.ASKED), OFFERED),
        "it was told its boot file at port 4011, but fetched none by TFTP in 10 min",
    ),
    (
        (discover(), said(BootStage.REFUSED, "architecture 6 (32-bit UEFI): only x86-64")),
        "it cannot be booted: architecture 6 (32-bit UEFI): only x86-64",
    ),
    (
        (discover(), said(BootStage.FAILED, "no address left in 10.0.0.128 to 10.0.0.254")),
        "it does not get on: no address left in 10.0.0.128 to 10.0.0.254",
    ),
    (
        (*CHAIN, sent(BootStage.TFTP, "shimx64.efi", 43)),
        "its TFTP of shimx64.efi stopped at 43% 10 min ago (stopped: no answer any more)",
    ),
    ((*CHAIN, SHIM), "it got shimx64.efi 10 min ago, but never fetched grubx64.efi"),
    ((*CHAIN, SHIM, GRUB), "it got grubx64.efi 10 min ago, but GRUB never fetched its configuration"),
    (
        (*CHAIN, SHIM, GRUB, CONFIG),
        "it got grub.cfg 10 min ago, but never fetched the kernel by HTTP",
    ),
    (
        (*CHAIN, SHIM, GRUB, CONFIG, sent(BootStage.KERNEL, "boot/vmlinuz", 12)),
        "its HTTP of vmlinuz stopped at 12% 10 min ago (stopped: no answer any more)",
    ),
    (
        (*CHAIN, SHIM, GRUB, CONFIG, KERNEL, sent(BootStage.HTTP, "boot/trust.cpio")),
        "it got trust.cpio 10 min ago, but never fetched initrd.img",
    ),
    (
        (*CHAIN, SHIM, GRUB, CONFIG, KERNEL, INITRD),
        "it got kernel and boot image 10 min ago, but our client on it never registered",
    ),
    (
        (discover(Kind.BIOS), OFFERED, REQUESTED, sent(BootStage.TFTP, "undionly.kpxe")),
        "it got undionly.kpxe 10 min ago, but the iPXE in it never asked for an address",
    ),
    (
        (
            discover(Kind.BIOS),
            OFFERED,
            REQUESTED,
            sent(BootStage.TFTP, "undionly.kpxe"),
            discover(Kind.IPXE_BIOS),
            OFFERED,
        ),
        "it was offered our boot file, but asked for no address in 10 min",
    ),
    (
        (discover(Kind.IPXE_BIOS), OFFERED, sent(BootStage.HTTP, "boot/boot.ipxe")),
        "it got boot.ipxe 10 min ago, but never fetched the kernel by HTTP",
    ),
    (
        (discover(), OFFERED, sent(BootStage.HTTP, "boot/other")),
        "it got other 10 min ago, but asked for nothing more",
    ),
]


@pytest.mark.parametrize(("events", "sentence"), STUCK, ids=[text[:60] for _, text in STUCK])
def test_a_machine_that_does_not_come_has_its_sentence_and_something_to_do(
    events: tuple[BootEvent, ...], sentence: str
) -> None:
    outlook, told, hint = story(*events)
    assert (outlook, told) == (Outlook.STUCK, sentence)
    assert hint


@pytest.mark.parametrize(
    ("events", "until", "sentence"),
    [
        ((discover(), OFFERED), 5, "it was offered our boot file 5 s ago"),
        (CHAIN, 5, "it asked the DHCP server 10.0.0.254 for the address 10.0.0.7 5 s ago"),
        (
            (*CHAIN, sent(BootStage.TFTP, "shimx64.efi", 0, over=False)),
            3,
            "it loads shimx64.efi by TFTP",
        ),
        # OVMF asks for the size first, and ends that transfer.
        ((*CHAIN, sent(BootStage.TFTP, "shimx64.efi", 0)), 3, "it loads shimx64.efi by TFTP"),
        ((*CHAIN, SHIM), 20, "it got shimx64.efi 20 s ago and starts it"),
        ((*CHAIN, SHIM, GRUB, CONFIG, KERNEL, INITRD), 100, "it starts our client since 100 s"),
    ],
)
def test_a_boot_under_way_is_no_fault(
    events: tuple[BootEvent, ...], until: float, sentence: str
) -> None:
    outlook, told, _ = story(*events, until=until)
    assert outlook is Outlook.BOOTING
    assert told.startswith(sentence)


def test_a_registered_client_ends_the_story_whatever_comes_after() -> None:
    events = (*CHAIN, SHIM, GRUB, CONFIG, KERNEL, INITRD, said(BootStage.CLIENT, "our client"))
    renewal = said(BootStage.LEASED, "address 10.0.0.130")
    assert story(*events)[:2] == (
        Outlook.ARRIVED,
        "our client runs on it, 8 s after its first packet",
    )
    assert story(*events, renewal)[0] is Outlook.ARRIVED


def test_a_machine_sent_to_its_disk_is_told_so_though_it_goes_on_asking() -> None:
    skipped = said(BootStage.SKIPPED, "UEFI PXE: told to boot its own disk")
    for more in ((), (REQUESTED,), (sent(BootStage.HTTP, "boot/local.ipxe"),)):
        outlook, told, hint = story(discover(), skipped, *more, until=120)
        assert outlook is Outlook.DISK
        assert "its own disk" in told
        assert "boot-client" in hint
    ignored = said(BootStage.IGNORED, "UEFI PXE: not ours to answer")
    assert story(discover(), ignored)[0] is Outlook.DISK


def test_an_address_refused_once_does_not_outlast_the_next_one() -> None:
    refused = said(BootStage.FAILED, "asked for 10.9.9.9, which it cannot have")
    assert "10.9.9.9" in story(discover(), OFFERED, refused)[1]
    given = said(BootStage.LEASED, "address 10.0.0.130")
    assert "10.0.0.130" in story(discover(), OFFERED, refused, given)[1]
    assert "10.0.0.130" in story(discover(), OFFERED, refused, discover(), OFFERED, given)[1]


@pytest.mark.parametrize(
    "name",
    ["boot/once/0123456789abcdef/floppy.img", f"boot/machine/{MAC.replace(':', '-')}/image"],
)
def test_an_image_that_was_ordered_is_no_client_that_is_missed(name: str) -> None:
    part = Transfer(name, 30, 100, over=True)
    read = BootEvent(MAC, BootStage.HTTP, "floppy.img: complete", "", part)
    outlook, told, _ = story(discover(Kind.IPXE_BIOS), OFFERED, read)
    assert (outlook, told) == (Outlook.DISK, "it boots the image ordered for it since 10 min")
    onward = said(BootStage.SKIPPED, "UEFI PXE: told to go on to its HTTP boot, for the image ordered")
    assert "told to go on to its HTTP boot" in story(discover(), onward)[1]


def test_a_file_that_we_could_not_serve_is_our_own_fault() -> None:
    failed = said(BootStage.FAILED, "vmlinuz is not served: Input/output error")
    outlook, told, hint = story(*CHAIN, SHIM, GRUB, CONFIG, failed)
    assert outlook is Outlook.STUCK
    assert told == "it does not get on: vmlinuz is not served: Input/output error"
    assert "boot tree" in hint


def history_of(*steps: tuple[float, BootEvent]) -> History:
    history = History(MAC)
    for when, event in steps:
        history = continued(history, event, when)
    return history


def test_what_is_told_beside_a_discover_begins_no_attempt() -> None:
    beside = said(BootStage.DISCOVER, "10.0.0.130 is in use by another machine: put aside")
    assert history_of((0, discover()), (1, beside), (2, OFFERED)).attempt == 1


def test_repeated_questions_are_one_attempt_and_counted() -> None:
    steps = [(when, event) for when in (0, 4, 12, 28) for event in (discover(), OFFERED)]
    told = history_of(*steps)
    assert told.attempt == 1
    assert [(s.event.stage.value, s.times) for s in told.steps] == [("discover", 4), ("offered", 4)]
    assert told.latest.event.stage is BootStage.OFFERED


@pytest.mark.parametrize(
    "again",
    [discover(Kind.HTTP), discover()],
    ids=["by HTTP boot", "the same after a minute and a half"],
)
def test_another_discover_is_another_attempt(again: BootEvent) -> None:
    told = history_of((0, discover()), (0, OFFERED), (100, again))
    assert told.attempt == 2
    assert told.began == 100
    assert [s.event for s in told.current] == [again]


def test_a_discover_after_loading_is_another_attempt_unless_the_loaded_ipxe_asks() -> None:
    loaded = [(0.0, discover(Kind.BIOS)), (1.0, OFFERED), (2.0, sent(BootStage.TFTP, "undionly.kpxe"))]
    assert history_of(*loaded, (8, discover(Kind.IPXE_BIOS))).attempt == 1
    assert history_of(*loaded, (8, discover(Kind.BIOS))).attempt == 2
    told = history_of(*loaded, (8, discover(Kind.BIOS)))
    assert told.reached is BootStage.DISCOVER
    assert len(told.steps) == 4


def test_the_end_of_a_transfer_replaces_its_beginning() -> None:
    begun = sent(BootStage.TFTP, "shimx64.efi", 0, over=False)
    told = history_of((0, discover()), (1, begun), (2, SHIM), (3, begun))
    assert [s.event for s in told.steps] == [discover(), SHIM, begun]


def test_what_is_forgotten_of_an_arrival_breaks_nothing() -> None:
    renewals = [(n, said(BootStage.LEASED, f"address 10.0.0.{n}")) for n in range(2, 100)]
    told = history_of((0, discover()), (1, said(BootStage.CLIENT)), *renewals)
    assert tell(told, 200).sentence == "our client runs on it"


def test_the_number_of_steps_is_bounded_and_the_stage_is_kept() -> None:
    many = [(n, sent(BootStage.HTTP, f"boot/{n}")) for n in range(100)]
    told = history_of((0, discover()), (0, KERNEL), *many)
    assert len(told.steps) == MOST_STEPS
    assert told.reached is BootStage.KERNEL


def test_who_was_never_heard_and_who_went_away() -> None:
    assert MAC in unheard(MAC).sentence
    gone = away(100, None, 820)
    assert gone.outlook is Outlook.AWAY
    assert "12 min ago" in gone.sentence
    arrived = history_of((0, discover()), (5, said(BootStage.CLIENT)))
    assert away(4, arrived, 820).outlook is Outlook.AWAY
    trying = history_of((0, discover()), (5, said(BootStage.CLIENT)), (500, discover()))
    assert away(100, trying, 820) == tell(trying, 820)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (119.9, "119 s"), (120, "2 min"), (7200, "2 h"), (86400 * 5, "5 d")],
)
def test_spans_are_read_by_people(seconds: float, words: str) -> None:
    assert span(seconds) == words


def request(kind: MessageType, **fields: object) -> DhcpRequest:
    known = {"vendor_class": "PXEClient:Arch:00007", "architecture": 7}
    return DhcpRequest(kind, 1, MAC, **known | fields)  # type: ignore[arg-type]


def test_what_a_machines_own_packets_tell() -> None:
    wanted = IPv4Address("10.0.0.7")
    assert heard(request(MessageType.DISCOVER), 67, OWN) == discover()
    chosen = request(MessageType.REQUEST, requested=wanted, server_id=SITE)
    assert heard(chosen, 67, OWN) == BootEvent(MAC, BootStage.REQUESTED, REQUESTED.detail, str(wanted))
    ours = heard(request(MessageType.REQUEST, requested=wanted, server_id=OWN), 67, OWN)
    assert ours is not None
    assert ours.detail == "asked us for the address 10.0.0.7"
    asked = heard(request(MessageType.INFORM, ciaddr=wanted), 4011, OWN)
    assert asked is not None
    assert (asked.stage, asked.address) == (BootStage.ASKED, str(wanted))
    assert heard(request(MessageType.REQUEST, server_id=SITE), 4011, OWN) is None
    assert heard(request(MessageType.DISCOVER, vendor_class="MSFT 5.0"), 67, OWN) is None
    assert heard(request(MessageType.RELEASE), 67, OWN) is None
    # Another Fleetcast server looks around.
    assert heard(request(MessageType.DISCOVER, user_class=LOOKING_CLASS), 67, OWN) is None
