"""What the API shows of clients, casts and images: one model each, and how it is filled.

Field names are those of the control messages (``docs/control.md``) wherever one exists. Counts are
bytes, times Unix seconds, rates bytes a second.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from castcore.boot import BootDecision, ImageForm
from castcore.cast.states import ClientClass, SenderState, Transport
from castcore.control import AfterCast, ClientState, Machine, Nic, Report
from castcore.disk import DiskFacts
from castcore.edge.image.store import image_name
from pydantic import AliasChoices, Field

from castserver.api.viewbase import View
from castserver.captures.capturemodel import Capture, latest
from castserver.captures.captureviews import CaptureView, capture_view
from castserver.casts import castmodel
from castserver.casts.castmodel import Cast
from castserver.casts.lagging import Lag, laggards
from castserver.casts.policy import CastState, PartState, starts_in
from castserver.images.shelves import LIBRARY, Shelved
from castserver.licences.licenceviews import LedgerView
from castserver.machines.clients import Client, Clients
from castserver.machines.trustviews import DENIED, WAITING, TrustView, kept_out, said, trust_view
from castserver.media.mediastate import MediaNow
from castserver.media.mediaviews import MediaView, media_view
from castserver.netboot.bootimages import StoredBootImage
from castserver.netboot.bootonce import BootOnce
from castserver.netboot.bootstate import BootingState
from castserver.netboot.bootviews import BootingView, booting_view
from castserver.netboot.bootwatch import BootWatch
from castserver.netboot.storyviews import BootView, boot_of, boot_view

OFFLINE = "offline"
# Every state of a machine.
STATES = (*(state.value for state in ClientState), OFFLINE, WAITING, DENIED)

# What a route declares of its refusals, by status.
Refusals = dict[int | str, dict[str, Any]]


class ErrorView(View):
    """Every refusal: what happened to which object, and what to do next."""

    error: str
    hint: str = ""


class ClientView(View):
    """One machine, and the client running on it now."""

    client: str = Field(description="id of the machine")
    label: str = Field(description="a name for people: its own, else model and first MAC")
    name: str = Field(description="the name it was given; empty: none")
    tags: list[str]
    groups: list[str]
    note: str
    met: bool = Field(description="false: it was added by hand, and no machine has claimed it yet")
    doubt: str = Field(description="which entry added by hand it may be, as a MAC alone does not say")
    online: bool
    state: str = Field(
        description="a ClientState, `offline`, or of one that is not let in: `waiting`, `denied`"
    )
    boots: BootDecision = Field(description="what it boots over the network next")
    boot_image: str = Field(description="the boot image it boots next, once; empty: none")
    boot: BootView | None = Field(description="its latest network boot; null: none was heard")
    why: str = Field(description="how it stands with the machine, in a sentence; empty: it is here")
    hint: str = Field(description="what to do about that, or to look at; may be empty")
    rate: int
    first_seen: int
    last_seen: int = Field(description="0: never")
    machine: Machine
    nics: list[Nic]
    disks: list[DiskFacts]
    report: Report | None = Field(description="the last one since it started, without its logs")
    trust: TrustView


class PartView(View):
    """One machine's part in a cast."""

    client: str
    label: str
    state: PartState
    message: str
    changed: int
    lag: Lag | None = Field(description="why it falls behind the others; null: it does not")
    report: Report | None


class ReceptionView(View):
    """How a machine keeps up with a running cast, as its sender sees it; losses are packets since it
    joined.
    """

    client: str
    kind: ClientClass = Field(
        validation_alias=AliasChoices("class", "kind"), serialization_alias="class"
    )
    rate: int = Field(description="stored bytes a second that it gains")
    have: float = Field(description="share (0..1) of the image it has")
    eta: float | None = Field(description="seconds until it has everything; null: not known yet")
    have_blocks: int
    total_blocks: int
    received: int
    net_lost: int
    host_drop: int
    shed_blocks: int = Field(description="blocks it ignored for want of memory; laps bring them again")
    net_loss: float = Field(description="share (0..1) of its packets lost in the network")
    host_loss: float = Field(description="share (0..1) of its packets dropped by its own host")
    done: bool
    interface: str = Field(description="the server's interface that serves it")


class LegView(View):
    """A running cast on one of the server's interfaces."""

    interface: str
    state: SenderState | None = Field(description="null: nobody has asked there yet")
    rate: int
    sent: int
    repair: int
    clients: int
    lost: str = Field(description="why the interface carries nothing now; empty: it does")


class SenderView(View):
    """The sender of a running cast; the same values as the `status` events of `fleetcast send --json`.

    `state` is a word of the protocol, `repair` the parity in `sent`, `stored` the image as it travels.
    """

    state: SenderState
    rate: int
    sent: int
    repair: int
    lap: int
    head: int
    stored: int
    eta: float | None = Field(description="seconds until all have everything; null: not known yet")
    clients: list[ReceptionView]
    failure: str
    mac: bool
    encrypt: bool
    legs: list[LegView]
    heard: int = Field(description="datagrams in which clients told the sender how it goes")


class RateView(View):
    """A stretch of a cast: what was sent of the image (`fresh`) and of parity (`repair`), and the stored
    bytes that a machine which is not done gained on average (`goodput`), all in bytes a second.
    """

    at: float = Field(description="its end, in seconds since the cast's begin")
    fresh: int
    repair: int
    goodput: int


class CastView(View):
    """One cast."""

    cast: str = Field(description="id of the cast")
    image: str
    root: str = Field(description="digest (hex) that a machine must prove to be done")
    state: CastState
    message: str
    start_clients: int | None
    start_after: int | None = Field(description="seconds after the first joined; null: however long")
    most_at_once: int | None = Field(description="machines under way at a time; null: all of them")
    starts_in: int | None = Field(description="seconds until it starts for that; null: not counting")
    transport: Transport
    rules: str = Field(description="TOML that chooses the disks; empty: the machines' own rules do")
    rate_cap: int = Field(description="bytes a second at most, on each interface; 0: no cap of its own")
    keep_open: bool
    peers: bool = Field(description="finished machines serve chunks to the others")
    update: bool
    mac: bool = Field(description="datagrams carry a tag that outsiders cannot make")
    encrypt: bool = Field(description="chunks travel encrypted")
    after: AfterCast
    targets: list[str] | None
    created: int
    started: int | None
    ended: int | None
    sender: SenderView | None
    parts: list[PartView]


class DiskView(View):
    """One disk of an image."""

    size: int
    sector_size: int
    partitions: list[str] = Field(description="file system or type of each")


class ImageView(View):
    """One image; `problem` says why it cannot be cast ("" when it can).

    Of a folder that cannot be reached there is one, `*`, with the reason.
    """

    image: str
    where: str = Field(
        LIBRARY, description="`library`, a further folder's name, or that of the deploy medium it is on"
    )
    cast_as: str = Field("", description="what a cast names it by")
    created: int = 0
    used: int = 0
    stored: int = 0
    root: str = ""
    disks: list[DiskView] = Field(default=[])
    problem: str = ""


class BootImageView(View):
    """One boot image; `problem` says why nothing boots from it ("" when it can)."""

    image: str
    size: int
    form: ImageForm | None
    problem: str
    machines: list[str] = Field(description="those that have still to boot it: ids, or MACs")


class StateView(View):
    """Everything live, as the event stream sends it."""

    clients: list[ClientView]
    casts: list[CastView] = Field(
        description="those that have not ended, and the latest that ended; the newest first"
    )
    cast_counts: dict[CastState, int] = Field(description="how many are in each state, of all casts")
    media: MediaView = Field(description="deploy media: which are connected, which one is used")
    captures: list[CaptureView] = Field(description="those under way, and the latest that ended")
    booting: list[BootView] = Field(description="network boots of machines not met yet")
    pxe: BootingView = Field(description="what is answered to machines that boot from the network")
    licences: list[LedgerView] = Field(description="the licence ledger of every connected medium")


def client_view(client: Client, clients: Clients, boots: BootWatch, once: BootOnce) -> ClientView:
    """``client`` as the API shows it."""
    registration, report = client.registration, client.report
    online = client.online(clients.clock())
    state = (report.state if report else ClientState.READY).value if online else OFFLINE
    state, trust = kept_out(client, clients) or state, trust_view(client, clients)
    boot, story = boot_of(client, boots, clients.clock() - client.heard, online=online)
    told = said(trust)
    return ClientView(
        client=client.id,
        label=client.label,
        name=client.card.name,
        tags=list(client.card.tags),
        groups=list(client.card.groups),
        note=client.card.note,
        met=client.met,
        doubt=_doubt(client, clients),
        online=online,
        state=state,
        boots=client.boots,
        boot_image=once.waiting_for(client),
        boot=boot,
        why=told.why or (story.sentence if story else ""),
        hint=told.hint or (story.hint if story else ""),
        rate=int(client.rate) if online else 0,
        first_seen=client.first_seen,
        last_seen=client.last_seen,
        machine=registration.machine,
        nics=list(registration.nics),
        disks=list(registration.disks),
        report=report,
        trust=trust,
    )


def _doubt(client: Client, clients: Clients) -> str:
    entries = clients.entries_for(client)
    if not entries:
        return ""
    these = ", ".join(f"{entry.label} ({entry.id})" for entry in entries[:5])
    return f"it has a card of {these}, added by hand and claimed by no machine yet"


def cast_view(cast: Cast, clients: Clients) -> CastView:
    """``cast`` as the API shows it."""
    rules = cast.rules
    status = cast.run.status() if cast.run is not None else None
    lags = laggards(status.clients) if status and cast.state is CastState.RUNNING else {}
    return CastView(
        cast=cast.id,
        image=cast.image,
        root=cast.root,
        state=cast.state,
        message=cast.message,
        start_clients=rules.start_clients,
        start_after=rules.start_after,
        most_at_once=rules.most_at_once,
        starts_in=_starts_in(cast),
        transport=cast.options.transport,
        rules=cast.disk_rules,
        rate_cap=cast.options.rate_cap,
        keep_open=rules.keep_open,
        update=rules.update,
        peers=cast.options.peers,
        mac=cast.options.mac,
        encrypt=cast.options.encrypt,
        after=cast.after,
        targets=None if rules.targets is None else sorted(rules.targets),
        created=cast.created,
        started=cast.started,
        ended=cast.ended,
        sender=SenderView.model_validate(status) if status else None,
        parts=[
            PartView(
                client=name,
                label=clients.get(name).label,
                state=part.state,
                message=part.message,
                changed=part.changed,
                lag=None if part.state.ended else lags.get(name),
                report=part.report,
            )
            for name, part in cast.parts.items()
        ],
    )


def image_view(shelved: Shelved) -> ImageView:
    """An image as the API shows it."""
    stored = shelved.image
    manifest, name = stored.manifest, image_name(stored.path)
    if manifest is None:
        return ImageView(
            image=name, where=shelved.where, cast_as=shelved.cast_as, problem=stored.problem
        )
    return ImageView(
        image=name,
        where=shelved.where,
        cast_as=shelved.cast_as,
        created=manifest.created,
        used=manifest.used,
        stored=shelved.held.stored if shelved.held is not None else 0,
        root=manifest.index_digest.hex(),
        disks=[
            DiskView(
                size=d.layout.size,
                sector_size=d.layout.sector_size,
                partitions=[p.fstype or p.type for p in d.layout.partitions],
            )
            for d in manifest.disks
        ],
    )


def boot_image_view(stored: StoredBootImage, once: BootOnce) -> BootImageView:
    """A boot image as the API shows it."""
    return BootImageView(
        image=stored.name,
        size=stored.size,
        form=stored.image.form if stored.image else None,
        problem=stored.problem,
        machines=[order.machine for order in once.waiting() if order.image.name == stored.name],
    )


def state_view(
    clients: Clients,
    casts: list[Cast],
    boots: BootWatch,
    booting: BootingState,
    once: BootOnce,
    captures: list[Capture],
    media: MediaNow,
    licences: list[LedgerView],
) -> StateView:
    """Everything live; call it with the clients' lock held."""
    known = clients.all()
    macs = [mac for c in known for mac in c.traits.macs]
    return StateView(
        clients=[client_view(c, clients, boots, once) for c in known],
        casts=[cast_view(c, clients) for c in castmodel.latest(casts)],
        cast_counts=Counter(c.state for c in casts),
        media=media_view(media),
        captures=[capture_view(c, clients) for c in latest(captures)],
        pxe=booting_view(booting),
        licences=licences,
        booting=[boot_view(history, boots.now()) for history in boots.others(macs)],
    )


def _starts_in(cast: Cast) -> int | None:
    if cast.state is not CastState.GATHERING:
        return None
    return starts_in(cast.rules, cast.first_joined, int(time.time()))
