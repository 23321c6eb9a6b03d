"""What the model becomes by what happens, and by time; what a person is asked and told."""

from __future__ import annotations

import dataclasses
import time

from castcore.control import ClientState, Standing
from castcore.errors import NotFound
from castcore.words import code_words

from castclient.happening import Happening
from castclient.model import CastNow, Model
from castclient.phases import Event, Phase

QUESTION_SECONDS = 30.0
NOTICE_SECONDS = 120.0
_QUESTION = "The disk is being written. Enter: shut down, it stays incomplete. Esc: go on."
_QUESTION_BEFORE = "No data came yet, the disk is as it was. Enter: shut down. Esc: go on."
_QUESTION_CAPTURE = (
    "An image is being made of the disk. Enter: shut down, without the image. Esc: go on."
)


def begun(model: Model, cast: str, *, again: bool) -> Model:
    """``model`` with ``cast`` begun, ``again`` if it failed before: then that is still to be read."""
    fresh = CastNow(cast, ClientState.PLANNING)
    model = dataclasses.replace(model, cast=fresh, told=False, retry_at=0.0)
    if again:
        return model
    return dataclasses.replace(model, problem="", failure=None, attempt=0)


def aged(model: Model, now: float) -> Model:
    """``model`` without the question and the notice whose time is over."""
    if model.question and now > model.question_until:
        model = dataclasses.replace(model, question="")
    if model.notice and now > model.notice_until:
        model = dataclasses.replace(model, notice="")
    return model


def _spoken(model: Model, happening: Happening) -> Model:
    """``model`` with what is asked of the person now, or answered."""
    event = happening.event
    if model.question and (model.phase is not Phase.CASTING or event is Event.STAY_ON):
        model = dataclasses.replace(model, question="")
    if event is Event.ASKED_OFF and model.phase is Phase.CASTING:
        until = time.monotonic() + QUESTION_SECONDS
        return dataclasses.replace(model, question=_question(model.cast), question_until=until)
    if event is Event.NOTICE:
        until = time.monotonic() + NOTICE_SECONDS
        return dataclasses.replace(model, notice=happening.text, notice_until=until)
    return model


def _question(cast: CastNow | None) -> str:
    """What is asked before a machine goes off that is at work."""
    if cast is not None and cast.state is ClientState.CAPTURING:
        return _QUESTION_CAPTURE
    return _QUESTION if cast is not None and cast.writing else _QUESTION_BEFORE


def noted(model: Model, happening: Happening) -> Model:
    """``model`` with what came along with ``happening``."""
    model = _spoken(model, happening)
    event = happening.event
    if event in (Event.FOUND, Event.CHOSEN):
        server = happening.servers[0]
        return dataclasses.replace(
            model,
            server_url=server.url,
            server_name=server.name,
            server_words=code_words(server.key),
            choices=(),
        )
    if event is Event.FOUND_SEVERAL:
        choices = tuple(f"{s.name}  {s.url}  {code_words(s.key)}" for s in happening.servers)
        return dataclasses.replace(model, choices=choices)
    if event is Event.REGISTERED:
        return dataclasses.replace(
            model, client=happening.client, link_lost=False, standing=Standing.ADMITTED, kept_out=""
        )
    if event is Event.KEPT_OUT:
        return dataclasses.replace(
            model, standing=happening.standing, kept_out=happening.text, machine_words=happening.words
        )
    if event is Event.LOST or (event is Event.GAVE_UP and model.client):
        return dataclasses.replace(model, link_lost=True)
    return _cast_noted(model, happening)


def _cast_noted(model: Model, happening: Happening) -> Model:
    event = happening.event
    if event is Event.PROGRESS:
        # Who was told that the disk is as it was shall know when that is over.
        question = model.question and _question(happening.now)
        return dataclasses.replace(model, cast=happening.now, question=question)
    if event is Event.CAST_DONE:
        return dataclasses.replace(model, cast=happening.now, problem="", failure=None, attempt=0)
    if event in (Event.TOLD, Event.TOLD_STAY) and model.phase is not Phase.CASTING:
        return dataclasses.replace(model, told=True)
    if event is Event.CAST_FAILED:
        return dataclasses.replace(
            model, problem=_problem(model, happening), failure=happening.error, cast=_cut(model.cast)
        )
    return model


def _problem(model: Model, happening: Happening) -> str:
    """Why the cast failed; that it is over meanwhile is no news beside why it failed first."""
    over = isinstance(happening.error, NotFound) and model.problem
    return f"{model.problem} ({happening.text})" if over else happening.text


def _cut(cast: CastNow | None) -> CastNow | None:
    """The cast as it was cut off: nothing moves any more."""
    if cast is None:
        return None
    disks = tuple(dataclasses.replace(disk, rate=0) for disk in cast.disks)
    return dataclasses.replace(cast, rate=0, detail="", disks=disks)
