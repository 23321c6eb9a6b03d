"""A text that somebody looks for, as questions to the API have it."""

from typing import Annotated

from pydantic import Field

# No database takes a NUL within a text.
AskedText = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
