"""What this server was told at its start; what can be changed while it runs has calls of its own."""

from pydantic import Field

from castserver.api.access import Parts, operator_routes
from castserver.api.viewbase import View

routes = operator_routes("settings", "/settings")


class ToldView(View):
    """One setting that holds until the next start."""

    name: str
    value: str = Field(description="empty: none")
    option: str = Field(description="of `fleetcast serve`")


@routes.get("", summary="What the server was told at its start")
def show_settings(parts: Parts) -> list[ToldView]:
    """`PUT /booting` and `PUT /booting/INTERFACE` change what can be changed while it runs."""
    return [ToldView.model_validate(one) for one in parts.told]
