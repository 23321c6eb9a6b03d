"""The base of all that the API shows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """Values that never change once shown."""

    model_config = ConfigDict(frozen=True, from_attributes=True)
