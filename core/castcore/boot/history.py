"""One machine's network boots, as far as they are remembered: its last events, attempt by attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from castcore.boot.bootclient import Kind
from castcore.boot.policy import BootEvent, BootStage

MOST_STEPS = 20
# Firmware repeats a DISCOVER after 4, 8, 16 and 32 s (PXE 2.1 section 2.2.4): one attempt.
RETRY_SECONDS = 90.0
# What comes before a machine has an address, and what is answered meanwhile.
_ASKING = frozenset(
    {
        BootStage.DISCOVER,
        BootStage.OFFERED,
        BootStage.SKIPPED,
        BootStage.REFUSED,
        BootStage.IGNORED,
        BootStage.FAILED,
    }
)
_IPXE = frozenset(kind.value for kind in Kind if kind.is_ipxe)
_KINDS = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True)
class Step:
    """An event of the ``attempt`` with that number; ``when`` (Unix seconds) is its last of ``times``."""

    event: BootEvent
    when: float
    attempt: int
    times: int = 1


@dataclass(frozen=True)
class History:
    """What is known of ``mac``: its last MOST_STEPS steps, the oldest first, of the last attempts.

    ``began``: when the latest attempt began; ``reached``: how far that came.
    """

    mac: str
    attempt: int = 0
    began: float = 0.0
    reached: BootStage = BootStage.DISCOVER
    steps: tuple[Step, ...] = ()

    @property
    def current(self) -> tuple[Step, ...]:
        """The steps of the latest attempt that are remembered."""
        return tuple(step for step in self.steps if step.attempt == self.attempt)

    @property
    def latest(self) -> Step:
        """The last thing that happened. IndexError when nothing ever did."""
        return max(reversed(self.steps[-2:]), key=lambda step: step.when)


def continued(history: History, event: BootEvent, when: float) -> History:
    """``history`` with one more ``event`` of its machine."""
    if _begins(history, event, when):
        history = replace(history, attempt=history.attempt + 1, began=when, reached=BootStage.DISCOVER)
    step = Step(event, when, history.attempt)
    return replace(
        history,
        reached=max(history.reached, event.stage, key=_rank),
        steps=_with(history.steps, step)[-MOST_STEPS:],
    )


def _rank(stage: BootStage) -> int:
    """The place in the order of a boot; what is no step of it comes first."""
    order = list(BootStage)
    return order.index(stage) if order.index(stage) <= order.index(BootStage.CLIENT) else -1


def _begins(history: History, event: BootEvent, when: float) -> bool:
    """Whether a new attempt begins: at a DISCOVER that neither repeats one nor is a boot program's."""
    steps = history.current
    if not steps or event.stage is not BootStage.DISCOVER or event.detail not in _KINDS:
        # What is told of a DISCOVER beside the machine's kind belongs to the attempt under way.
        return not steps
    if event.detail in _IPXE and any(step.event.stage is BootStage.TFTP for step in steps):
        # The iPXE that came by TFTP asks once more, for itself.
        return BootStage.CLIENT is history.reached
    asked = [step.event.detail for step in steps if step.event.stage is BootStage.DISCOVER]
    waiting = all(step.event.stage in _ASKING for step in steps)
    return not (waiting and event.detail in asked and when - history.latest.when <= RETRY_SECONDS)


def _with(steps: tuple[Step, ...], new: Step) -> tuple[Step, ...]:
    """``steps`` and ``new``: a repetition counts, the end of a transfer replaces its beginning."""
    for place in range(len(steps) - 1, max(len(steps) - 3, -1), -1):
        old = steps[place]
        if old.attempt != new.attempt:
            break
        if old.event == new.event:
            again = replace(new, times=old.times + 1)
            return (*steps[:place], again, *steps[place + 1 :])
        if _same_transfer(old.event, new.event):
            return (*steps[:place], new, *steps[place + 1 :])
    return (*steps, new)


def _same_transfer(old: BootEvent, new: BootEvent) -> bool:
    if old.transfer is None or new.transfer is None or old.transfer.over:
        return False
    return (old.stage, old.transfer.file) == (new.stage, new.transfer.file)
