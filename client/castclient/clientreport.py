"""What the server hears of the client: its model as a report. Pure."""

from __future__ import annotations

import dataclasses

from castcore.control import ClientState, Report

from castclient.journal import Journal
from castclient.model import Model
from castclient.phases import Phase

_UNTOLD = (Phase.STARTING, Phase.SEARCHING, Phase.CHOOSING, Phase.REGISTERING, Phase.WAITING)


def report_of(model: Model, journal: Journal) -> Report | None:
    """What the server shall know of ``model``; None while there is nothing to tell."""
    if model.phase in _UNTOLD:
        return None
    state = ClientState(model.state)
    cast = model.cast
    figures = Report(state, message=_message(model))
    if cast is not None:
        figures = Report(
            state,
            cast=cast.cast,
            message=_message(model) or cast.detail,
            done=cast.done,
            total=cast.total,
            written=cast.written,
            kept=cast.kept,
            multicast=cast.multicast,
            unicast=cast.unicast,
            peers=cast.peers,
            repaired=cast.repaired,
            seconds=cast.seconds,
            root=cast.root,
            retry=model.retry_in,
        )
    if state is ClientState.FAILED:
        return dataclasses.replace(figures, logs=journal.recent())
    return figures


def _message(model: Model) -> str:
    if model.retry_at and model.phase is Phase.FAILED:
        return f"{model.problem}; tries again by itself"
    if model.problem and model.phase is Phase.CASTING:
        return f"try {model.attempt + 1}, the one before failed: {model.problem}"
    return model.problem
