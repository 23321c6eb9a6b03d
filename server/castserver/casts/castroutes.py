"""The calls through which one client takes part in one cast, whoever runs the cast.

Both the server and ``fleetcast send`` mount this router; what a cast is, who may join and what a
join means to the rest of the program is behind :class:`CastDirectory`. Nothing here knows of a
database. Blocking work runs in threads of its own (``READERS``), so that five hundred clients that
fill holes cannot starve the console.
"""

from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Protocol, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from castcore.cast.peers import Peers
from castcore.errors import BadPacket, Busy
from castcore.proof import PROOF_HEADER
from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from castserver.casts.wayin import WayIn
from castserver.machines.presented import Presented

# Chunks of about 1 MiB read at the same time: enough for any disk array, and 16 MiB of memory.
READERS = 16
# Manifests, indices and joins: short work, but it may wait for the cast's own lock.
WORKERS = 32
# Symbol digests are computed one block at a time: more threads would only wait, and chunks with them.
VETTERS = 2
MOST_CHUNKS = 1 << 40
BYTES = "application/octet-stream"

T = TypeVar("T")


class Answer(Protocol):
    """What a join gives back (``castcore.edge.cast.sender.JoinAnswer``)."""

    def to_json(self) -> dict[str, Any]:
        """It as JSON values."""
        ...


class Sender(Protocol):
    """What these calls need of ``castcore.edge.cast.sender.CastSender``."""

    @property
    def descriptor(self) -> bytes:
        """The signed descriptor."""
        ...

    def join(self, client: str, held: bytes) -> Answer:
        """Let ``client`` take part, who has the chunks ``held`` (an encoded ``ChunkSet``, b"": none).

        Raises FleetcastError when the cast has closed, BadPacket.
        """
        ...

    def selection(self, number: int) -> bytes:
        """The chunks that travel in selection ``number``. Raises InUse when that is over."""
        ...

    def symbol_digests(self, selection: int, block: int) -> bytes:
        """The digests of all symbols of a selection's ``block``.

        Raises InUse when that is over, NotFound, DiskFailed, BadImage.
        """
        ...

    def turn(self, client: str, chunk: int) -> float:
        """Seconds until ``chunk`` may leave to ``client``. Raises Busy."""
        ...

    def peers(self, client: str, address: str) -> Peers:
        """Which clients ``client``, at ``address``, may ask for chunks, and whether to stay as one."""
        ...

    @property
    def paused(self) -> bool:
        """Whether it sends no data now because it shall not."""
        ...


class CastImage(Protocol):
    """What these calls need of ``castcore.edge.image.imagefile.Image``."""

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as stored."""
        ...

    @property
    def index_bytes(self) -> bytes:
        """The index as stored."""
        ...

    @property
    def root(self) -> str:
        """The hex digest that proves it whole."""
        ...

    @property
    def chunk_count(self) -> int:
        """How many chunks the image has."""
        ...

    def read_stored(self, chunk: int) -> bytes:
        """The stored bytes of ``chunk``. Raises DiskFailed or BadImage."""
        ...


class RunningCast(Protocol):
    """One cast that clients can take part in now."""

    @property
    def image(self) -> CastImage:
        """The image being cast."""
        ...

    def current_sender(self) -> Sender:
        """The sender a client should follow now; a finished one has been replaced by a fresh one."""
        ...

    def authorize(self, shown: Presented) -> str | None:
        """The name of the client that makes a request, or None: it may not take part.

        Raises FleetcastError when its proof does not count.
        """
        ...

    def join(self, client: str, held: bytes) -> Answer:
        """Let ``client`` take part; start the cast when that was the last one awaited."""
        ...

    def peers(self, client: str, address: str) -> Peers:
        """Which clients ``client``, at ``address``, may ask for chunks, and whether to stay as one."""
        ...


class CastDirectory(Protocol):
    """Finds casts by their id."""

    def find(self, cast: str, way: WayIn) -> RunningCast | None:
        """The cast with id ``cast``, as a client sees it that came in by ``way``.

        None when there is none that clients can take part in.
        """
        ...


class Joining(BaseModel):
    """What a client says when it joins."""

    model_config = ConfigDict(extra="forbid")

    held: str = Field("", description="base64 of the deflated bits of the chunks it has, lowest first")


def chunk_set(text: str) -> bytes:
    """The bytes that base64 ``text`` spells. Raises BadPacket."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise BadPacket("a set of chunks that is no base64") from None


Selection = Annotated[int, Path(ge=0, le=255)]
Admitted = tuple[RunningCast, str]
# Finds the cast that a request names and the client that makes it.
Entry = Callable[[str, Presented, WayIn], Awaitable[Admitted]]

_bearer = HTTPBearer(auto_error=False, description="A client's token, or the operator's.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def bearer_token(credentials: Credentials) -> str:
    """The bearer token of the request, "" without one."""
    return credentials.credentials if credentials else ""


Token = Annotated[str, Depends(bearer_token)]


def presented(request: Request, token: Token) -> Presented:
    """What the request shows of the client that makes it."""
    scope = request.scope
    path, query = scope.get("raw_path") or b"", scope["query_string"]
    target = (path + b"?" + query if query else path).decode("latin-1")
    return Presented(token, request.headers.get(PROOF_HEADER, ""), request.method, target)


Shown = Annotated[Presented, Depends(presented)]


def way_in(request: Request) -> WayIn:
    """By which of our addresses a request came, and from where."""
    server = request.scope.get("server") or ("", 0)
    return WayIn(request.client.host if request.client else "", str(server[0]))


CameBy = Annotated[WayIn, Depends(way_in)]


def router(directory: CastDirectory) -> APIRouter:
    """The routes under ``/casts/ID`` that clients use; mount them under ``castcore.control.API``."""
    routes = APIRouter(prefix="/casts/{cast}", tags=["taking part in a cast"], responses=REFUSALS)
    readers, workers = CapacityLimiter(READERS), CapacityLimiter(WORKERS)

    async def entry(cast: str, shown: Shown, way: CameBy) -> Admitted:
        return await _in_thread(lambda: admit(directory, cast, shown, way), workers)

    @routes.get("/descriptor", summary="The signed descriptor of the cast", response_class=Bytes)
    async def descriptor(admitted: Annotated[Admitted, Depends(entry)]) -> Response:
        return Bytes(await _in_thread(lambda: admitted[0].current_sender().descriptor, workers))

    @routes.post("/join", summary="Take part in the cast")
    async def join(admitted: Annotated[Admitted, Depends(entry)], body: Joining) -> dict[str, Any]:
        """Legal at any time before the end, and again: what is held counts anew."""
        cast, client = admitted
        held = chunk_set(body.held)
        return (await _in_thread(lambda: cast.join(client, held), workers)).to_json()

    @routes.get("/peers", summary="Finished clients that serve chunks to this one")
    async def peers(admitted: Annotated[Admitted, Depends(entry)], way: CameBy) -> dict[str, Any]:
        cast, client = admitted
        return (await _in_thread(lambda: cast.peers(client, way.client), workers)).to_json()

    _add_reading(routes, entry, readers, workers)
    _add_what_travels(routes, entry, readers)
    return routes


def _add_reading(
    routes: APIRouter, entry: Entry, readers: CapacityLimiter, workers: CapacityLimiter
) -> None:
    """The routes that read the image."""

    @routes.get("/manifest", summary="The image's manifest", response_class=Bytes)
    async def manifest(admitted: Annotated[Admitted, Depends(entry)]) -> Response:
        return Bytes(admitted[0].image.manifest_bytes)

    @routes.get("/index", summary="The image's index", response_class=Bytes)
    async def index(admitted: Annotated[Admitted, Depends(entry)]) -> Response:
        return Bytes(admitted[0].image.index_bytes)

    @routes.get("/chunks/{number}", summary="One chunk as stored", response_class=Bytes)
    async def chunk(
        admitted: Annotated[Admitted, Depends(entry)], number: Annotated[int, Path(ge=0, le=MOST_CHUNKS)]
    ) -> Response:
        cast, client = admitted
        image = cast.image
        if number >= image.chunk_count:
            raise HTTPException(404, f"the image has no chunk {number}, only {image.chunk_count}")
        # The stream to the group goes first: each chunk waits for its turn.
        sender = await _in_thread(cast.current_sender, workers)
        await anyio.sleep(await _in_thread(lambda: sender.turn(client, number), workers))
        if sender.paused:  # meanwhile
            raise Busy("the cast is paused")
        return Bytes(await _in_thread(lambda: image.read_stored(number), readers))


def _add_what_travels(routes: APIRouter, entry: Entry, readers: CapacityLimiter) -> None:
    """The routes about selections and their blocks."""
    vetters = CapacityLimiter(VETTERS)

    @routes.get(
        "/symbols/{selection}/{block}", summary="Digests of a block's symbols", response_class=Bytes
    )
    async def symbols(
        admitted: Annotated[Admitted, Depends(entry)],
        selection: Selection,
        block: Annotated[int, Path(ge=0, le=MOST_CHUNKS)],
    ) -> Response:
        def digests() -> bytes:
            return admitted[0].current_sender().symbol_digests(selection, block)

        return Bytes(await _in_thread(digests, vetters))

    @routes.get("/selection/{number}", summary="The chunks that travel now", response_class=Bytes)
    async def selection(admitted: Annotated[Admitted, Depends(entry)], number: Selection) -> Response:
        """A beacon names their number, and proves them by their digest."""
        return Bytes(await _in_thread(lambda: admitted[0].current_sender().selection(number), readers))


class Bytes(Response):
    """An answer of plain bytes."""

    media_type = BYTES


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "The token is missing or unknown: register again"},
    404: {"description": "There is no such cast now"},
    503: {"description": "Too much is being fetched just now: ask again in a second"},
    409: {"description": "This sender has closed: read the descriptor again"},
}


def admit(directory: CastDirectory, cast: str, shown: Presented, way: WayIn) -> Admitted:
    """The cast and the client's name in it; else an answer with 404 or 401."""
    found = directory.find(cast, way)
    if found is None:
        raise HTTPException(404, f"there is no cast {cast[:40]!r} to take part in now")
    client = found.authorize(shown)
    if client is None:
        raise HTTPException(401, "the token is unknown here: register again")
    return found, client


async def _in_thread(work: Callable[[], T], limiter: CapacityLimiter) -> T:
    return await anyio.to_thread.run_sync(work, limiter=limiter)
