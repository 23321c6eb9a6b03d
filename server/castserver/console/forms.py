"""What somebody asks by a form: as much of it as makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


def understood(model: type[ModelT], fields: Mapping[str, str]) -> tuple[ModelT, frozenset[str]]:
    """The ``model`` that a form's ``fields`` give, and the names of those that make no sense."""
    given = {k: v for k, v in fields.items() if v.strip() and k in model.model_fields}
    try:
        return model.model_validate(given), frozenset()
    except ValidationError as error:
        wrong = frozenset(str(one["loc"][0]) for one in error.errors())
        return model.model_validate({k: v for k, v in given.items() if k not in wrong}), wrong
