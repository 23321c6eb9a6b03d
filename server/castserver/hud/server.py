"""The server as the head-up display asks it: the API's calls, what they do said in a sentence."""

from __future__ import annotations

from typing import Protocol

from castcore.errors import NetworkFailed
from pydantic import ValidationError

from castserver.api.views import StateView
from castserver.cli.operatorclient import Operator


class HudServer(Protocol):
    """What the display needs of a server; each call raises FleetcastError when it was not possible."""

    def state(self) -> StateView:
        """Everything live."""

    def images(self) -> list[str]:
        """The names of the images that can be cast."""

    def create(self, image: str) -> str:
        """Make a cast of ``image`` for whoever shows up; a sentence about it."""

    def start(self, cast: str) -> str:
        """Start ``cast``; a sentence about it."""

    def cancel(self, cast: str) -> str:
        """End ``cast``; a sentence about it."""

    def deploy(self, *, on: bool) -> str:
        """Turn PXE deploy on or off; a sentence about it."""


class ApiServer:
    """A :class:`HudServer` behind the REST API."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    def state(self) -> StateView:
        """Everything live. Raises NetworkFailed, also for an answer that another version gave."""
        try:
            return StateView.model_validate(self._operator.get("state", query={"watching": "true"}))
        except ValidationError as error:
            raise NetworkFailed(
                f"the server's state is not understood: {error.errors()[0]['msg']}",
                hint="use the `fleetcast` of the server's own version",
            ) from None

    def images(self) -> list[str]:
        """The names of the images that can be cast."""
        return [image["image"] for image in self._operator.get("images") if not image["problem"]]

    def create(self, image: str) -> str:
        """Make a cast of ``image`` for whoever shows up, started on command."""
        cast = self._operator.post("casts", body={"image": image})
        return f"Cast {cast['cast']} of {image} gathers machines; s starts it."

    def start(self, cast: str) -> str:
        """Start ``cast``."""
        self._operator.post("casts", cast, "start")
        return f"Cast {cast} has started."

    def cancel(self, cast: str) -> str:
        """End ``cast``."""
        self._operator.post("casts", cast, "cancel")
        return f"Cast {cast} was cancelled."

    def deploy(self, *, on: bool) -> str:
        """Turn PXE deploy on or off."""
        self._operator.put("booting", body={"deploy": on})
        return f"PXE deploy is {'on' if on else 'off'}."
