"""One cast from the order to the proof: plan, open the disk, receive, finish, verify.

Nothing is written before the first chunk comes: a cast that ends while it gathers costs no machine what
it has. Blocking; runs in a thread of its own. What it does is told through ``show`` as :class:`CastNow`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from castcore.cast.chunkset import ChunkSet
from castcore.cast.descriptor import CastDescriptor, open_descriptor
from castcore.control import ClientState
from castcore.disk import DiskFacts, Rules
from castcore.edge.cast import receiver as castreceiver
from castcore.edge.cast.control import HttpsCastControl
from castcore.edge.cast.peers import PeerClient
from castcore.edge.disk.blockdev import BlockFile
from castcore.edge.disk.disksink import DiskSink
from castcore.edge.disk.seedcontents import SeedContents, Sink
from castcore.errors import FleetcastError, NetworkFailed, Untrusted
from castcore.image import Index, Manifest, parse_index
from castcore.progress import Progress
from castcore.units import human

from castclient import inventory, plan
from castclient.diskshares import DiskShares
from castclient.model import CastNow, RateMeter
from castclient.resume import Keeper, held_at_start

T = TypeVar("T")

SHOW_SECONDS = 0.5
RETRY_SECONDS = 2.0

# What the steps of receiver and sink are called in a client's report.
_STATES = {
    "receive": ClientState.RECEIVING,
    "fill": ClientState.FILLING,
    "verify": ClientState.VERIFYING,
}
# Those in which bytes come from the network.
_TRAVELLING = ("receive", "fill")


@dataclass(frozen=True, slots=True)
class CastEnd:
    """A cast that was written and proven; ``now`` holds its figures and its root.

    ``peers`` serves others from the disk until it is closed.
    """

    now: CastNow
    targets: tuple[DiskFacts, ...]
    manifest: Manifest
    peers: PeerClient


class CastJob:
    """Writes the cast named ``cast`` to this machine's disk.

    ``disks`` tells the machine's: those that were ``named``, else those among which ``rules`` choose, or
    the only candidate; ``interface`` tells where multicast comes in, anew whenever the cast is joined
    again; ``update``: the disks are compared with the image first, and only what differs is received.
    ``planned`` hears of the image when its disks are chosen, ``chosen`` of them, before any is written.
    ``before``: those that an earlier try chose, () for the first; no others are written.
    """

    def __init__(
        self,
        cast: str,
        control: HttpsCastControl,
        server_key: bytes,
        *,
        interface: Callable[[], str],
        disks: Callable[[], tuple[DiskFacts, ...]],
        named: bool,
        rules: Rules = (),
        update: bool,
        show: Callable[[CastNow], None],
        planned: Callable[[Manifest], None],
        chosen: Callable[[tuple[DiskFacts, ...]], None] = lambda _disks: None,
        before: tuple[DiskFacts, ...] = (),
    ) -> None:
        self._control, self._update = control, update
        self._server_key, self._interface = server_key, interface
        self._disks, self._named = disks, named
        self._rules, self._before = rules, before
        self._show, self._planned, self._chosen = show, planned, chosen
        self._peers: PeerClient | None = None
        self._now = CastNow(cast, ClientState.PLANNING)
        self._meter = RateMeter()
        self._sink: DiskSink | None = None
        self._shares: DiskShares | None = None
        self._shown = 0.0

    def run(self) -> CastEnd:
        """Do it all. Raises FleetcastError; the disk then boots only if no data had come."""
        started = time.monotonic()
        self._enter(self._now)
        signed = self._patiently(self._control.descriptor)
        descriptor = open_descriptor(signed, self._server_key)
        manifest = plan.read_manifest(descriptor, self._patiently(self._control.manifest))
        index = parse_index(self._patiently(self._control.index), manifest)
        targets = self._choose(manifest)
        self._chosen(targets)
        self._planned(manifest)
        described = ", ".join(map(inventory.described, targets))
        self._enter(replace(self._now, image=manifest.name, target=described))
        # The server remembers of all disks together, as the chunks are numbered.
        known_as = "+".join(target.stable_id for target in targets)
        remember = partial(self._control.remember, known_as)
        with ExitStack() as undo, ExitStack() as opened:
            disks = [opened.enter_context(BlockFile.open_target(t.path)) for t in targets]
            held = self._held(manifest, index, disks, known_as)
            self._enter(
                replace(self._now, state=ClientState.JOINING, done=0, total=0, rate=0, detail="")
            )
            self._patiently(self._control.claim_licence)
            # Before a byte is written: what the server remembered of this disk may not be so any more.
            # What an update found there is its old system's until data come, and may change yet.
            known = b"" if self._update else held.encode()
            self._patiently(lambda: remember(known))
            sink = self._sink = DiskSink(manifest, index, disks)
            sink.adopt(held)
            self._shares = DiskShares(index, [target.path for target in targets], sink.done)
            contents = SeedContents(manifest, index, [target.path for target in targets])
            taking = contents.remembering(sink)
            peers = PeerClient(self._control, taking, index.stored_lengths(), contents)
            undo.callback(peers.close)
            with sink.telling():
                self._write(descriptor, index.stored_lengths(), sink, taking, peers, held, remember)
            undo.pop_all()
        self._enter(
            replace(
                self._now,
                state=ClientState.DONE,
                done=descriptor.stored_bytes,
                total=descriptor.stored_bytes,
                rate=0,
                root=descriptor.root.hex(),
                seconds=int(time.monotonic() - started),
            )
        )
        return CastEnd(self._now, targets, manifest, peers)

    def _patiently(self, fetch: Callable[[], T]) -> T:
        """What ``fetch`` returns, tried until the server answers."""
        while True:
            try:
                return fetch()
            except NetworkFailed as error:
                self._enter(replace(self._now, detail=error.what))
                time.sleep(RETRY_SECONDS)

    def _choose(self, manifest: Manifest) -> tuple[DiskFacts, ...]:
        def pick() -> tuple[DiskFacts, ...]:
            return plan.pick_targets(manifest, self._disks(), named=self._named, rules=self._rules)

        return plan.pick_again(pick, self._before) if self._before else pick()

    def _held(
        self, manifest: Manifest, index: Index, disks: Sequence[BlockFile], known_as: str
    ) -> ChunkSet:
        """What the disks hold already: as the server remembers, or, in an update, all there is."""
        claimed = b"" if self._update else self._patiently(lambda: self._control.recall(known_as))
        return held_at_start(
            manifest, index, disks, claimed, update=self._update, progress=self._progress
        )

    def _write(
        self,
        descriptor: CastDescriptor,
        lengths: Sequence[int],
        sink: DiskSink,
        taking: Sink,
        peers: PeerClient,
        held: ChunkSet,
        remember: Callable[[bytes], None],
    ) -> None:
        self._peers = peers
        kept = sum(n for n, has in zip(lengths, held.mask(), strict=True) if has)
        receiving = ClientState.RECEIVING
        total = descriptor.stored_bytes
        self._enter(replace(self._now, state=receiving, done=kept, total=total, kept=kept, detail=""))
        with Keeper(sink, remember):
            result = castreceiver.receive(
                self._control,
                descriptor,
                lengths,
                taking,
                interface=self._interface,
                progress=self._progress,
                peers=peers,
                held=held,
            )
        sink.write_zeros(self._zeroed)
        sink.finish()
        self._enter(
            replace(
                self._now,
                state=ClientState.VERIFYING,
                disks=self._shares.whole() if self._shares is not None else (),
                done=0,
                total=0,
                rate=0,
                detail="",
                written=sink.written,
                kept=result.kept,
                multicast=result.multicast,
                unicast=result.unicast,
                peers=result.peers,
                repaired=result.repaired,
            )
        )
        try:
            sink.verify(self._progress)
        except Untrusted:
            # What was believed to be there was not: the next time nothing is.
            with suppress(FleetcastError):
                remember(b"")
            raise

    @property
    def _untouched(self) -> bool:
        return self._sink is None or self._sink.untouched

    def _enter(self, now: CastNow) -> None:
        """Show ``now`` at once: another state, or something to say."""
        self._now, self._shown = replace(now, writing=not self._untouched), time.monotonic()
        self._show(self._now)

    def _zeroed(self, progress: Progress) -> None:
        """Show how far the zeros are that no chunk brings."""
        clock = time.monotonic()
        if clock - self._shown >= SHOW_SECONDS:
            told = f"writes zeros, {human(progress.done)} of {human(progress.total)}"
            self._enter(replace(self._now, rate=0, detail=told))

    def _progress(self, progress: Progress) -> None:
        """Show how far the step is, a few times a second at most."""
        clock = time.monotonic()
        state = _STATES.get(progress.step, self._now.state)
        rate = self._meter.mark(clock, progress.done)
        if state is self._now.state and clock - self._shown < SHOW_SECONDS:
            return
        self._shown = clock
        now = replace(
            self._now,
            state=state,
            done=progress.done,
            total=progress.total,
            rate=rate,
            detail=progress.detail,
            writing=not self._untouched,
        )
        if progress.step in _TRAVELLING:
            unicast, peers = self._control.fetched, self._peers.taken if self._peers else 0
            multicast = max(progress.done - unicast - peers - self._now.kept, 0)
            now = replace(now, unicast=unicast, peers=peers, multicast=multicast)
            if self._shares is not None:
                now = replace(now, disks=self._shares.at(clock))
        self._now = now
        self._show(now)
