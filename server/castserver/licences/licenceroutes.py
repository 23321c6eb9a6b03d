"""Licences over the API: a client asks for one before it writes, the operator looks at them."""

from typing import Annotated, Protocol

from castcore.control import LicenceAnswer
from castcore.errors import Busy, FleetcastError, NotFound
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from castserver.api.access import Name, Parts, operator_routes
from castserver.api.viewbase import View
from castserver.api.views import ErrorView, Refusals
from castserver.casts import castroutes
from castserver.casts.castmodel import Cast
from castserver.casts.castroutes import CameBy, Shown
from castserver.casts.wayin import WayIn
from castserver.licences.licencebook import UseState
from castserver.licences.licenceviews import LedgerView, ledger_views

_REFUSED: Refusals = {
    404: {"model": ErrorView, "description": "No such medium is connected now"},
    403: {"model": ErrorView, "description": "Its ledger is not as it was left"},
}

routes = operator_routes("licences", "/licences")


class Released(BaseModel):
    """How many licences were given back."""

    released: int = Field(ge=0)


class Claiming(Protocol):
    """The casts, for whom a licence is to be had."""

    def find(self, cast: str, way: WayIn) -> castroutes.RunningCast | None:
        """The cast with id ``cast``, for a client that came in by ``way``."""
        ...

    def get(self, name: str) -> Cast:
        """The cast with id ``name``. Raises NotFound."""
        ...

    def claim(self, cast: Cast, client: str) -> None:
        """Reserve a licence for ``client``, where the cast needs one. Raises FleetcastError."""
        ...


def router(casts: Claiming) -> APIRouter:
    """The route under ``/casts/ID/licence``; mount it under ``castcore.control.API``."""
    made = APIRouter(
        prefix="/casts/{cast}", tags=["taking part in a cast"], responses=castroutes.REFUSALS
    )

    def entry(cast: str, shown: Shown, way: CameBy) -> castroutes.Admitted:
        return castroutes.admit(casts, cast, shown, way)

    @made.post("/licence", summary="Reserve a licence before the first byte is written")
    def claim(cast: str, admitted: Annotated[castroutes.Admitted, Depends(entry)]) -> LicenceAnswer:
        """Legal again; where a cast needs no licence, every machine is granted one."""
        try:
            casts.claim(casts.get(cast), admitted[1])
        except (NotFound, Busy):
            raise
        except FleetcastError as error:
            return LicenceAnswer(granted=False, why=error.what, hint=error.hint)
        return LicenceAnswer(granted=True)

    return made


@routes.get("", summary="The licences of the connected media")
def list_licences(parts: Parts) -> list[LedgerView]:
    """A medium whose ledger cannot be used is listed too, with its problem."""
    return ledger_views(parts.casts.licensing)


class UseView(View):
    """A machine's licence for a cast."""

    ledger: str = Field(description="id of the ledger, hex")
    cast: str
    machine: str
    image: str
    state: UseState
    by: str = Field(description="who started the cast; empty: not known")
    changed: int = Field(description="Unix seconds")


class UsesView(View):
    """A page of them, the newest first."""

    total: int
    offset: int
    uses: list[UseView]


@routes.get("/uses", summary="Who took a licence, for which cast, when")
def list_uses(
    parts: Parts,
    ledger: Annotated[str, Query(max_length=64, pattern="^[0-9a-f]*$")] = "",
    offset: Annotated[int, Query(ge=0, le=1 << 40)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> UsesView:
    """By casts of this server; `ledger` "": of every medium it has seen."""
    uses = parts.licence_uses
    found = [UseView.model_validate(use) for use in uses.page(ledger, offset, limit)]
    return UsesView(total=uses.count(ledger), offset=offset, uses=found)


@routes.post("/{medium}/release", summary="Give stray reservations back", responses=_REFUSED)
def release(parts: Parts, medium: Name) -> Released:
    """Those that another server left on the medium; what this server's casts hold is kept."""
    return Released(released=parts.casts.licensing.release_strays(medium))
