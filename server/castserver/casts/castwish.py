"""What an operator asks of a cast, as the API takes it."""

from typing import Annotated, Literal

from castcore.cast.states import Transport
from castcore.control import AfterCast
from castcore.disk import parse_rules
from castcore.errors import Refused
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from castserver.casts.castmodel import Request
from castserver.casts.legrun import CastOptions
from castserver.casts.policy import CastRules
from castserver.machines.clients import Clients
from castserver.machines.machinetargets import Words, targeted

MOST_CLIENTS = 10_000
# The longest that a cast may gather after its first machine, in seconds: a week.
LONGEST_WAIT = 7 * 86_400
# Below the one a cast makes no way, beyond the other no cap holds anything back; bytes a second.
LEAST_RATE, MOST_RATE = 100_000, 100_000_000_000
# A rule file, in characters: tables for a hundred models.
LONGEST_RULES = 32_768


class NewCast(BaseModel):
    """A cast to make."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(
        max_length=201,
        description="its name; `library/NAME`, `medium/NAME` or `FOLDER/NAME` where several have one",
    )
    start_clients: Annotated[int, Field(ge=1, le=MOST_CLIENTS)] | None = Field(
        None, description="start when so many have joined; null: on command"
    )
    start_after: Annotated[int, Field(ge=0, le=LONGEST_WAIT)] | None = Field(
        None,
        description="start so many seconds after the first machine joined, if not before;"
        " null: however long it takes",
    )
    most_at_once: Annotated[int, Field(ge=1, le=MOST_CLIENTS)] | None = Field(
        None,
        description="so many machines are under way at a time, the next is ordered as one ends;"
        " null: all of them",
    )
    after: AfterCast = AfterCast.REBOOT
    keep_open: StrictBool = Field(
        default=False, description="machines that come after its end get it too"
    )
    peers: StrictBool = Field(default=True, description="finished machines serve chunks to the others")
    update: StrictBool = Field(
        default=False, description="machines compare their disks first and receive only what differs"
    )
    mac: StrictBool = Field(
        default=False, description="datagrams carry a tag that outsiders cannot make"
    )
    encrypt: StrictBool = Field(default=False, description="chunks travel encrypted")
    rate_cap: Literal[0] | Annotated[int, Field(ge=LEAST_RATE, le=MOST_RATE)] = Field(
        0, description="bytes a second at most, on each interface; 0: its share of the interface"
    )
    transport: Transport = Field(
        default=Transport.AUTO,
        description="`auto`: multicast, unicast to machines that it does not reach or that are behind"
        " slow links; `multicast`: no machine is moved for its link; `unicast`: each by itself",
    )
    rules: str = Field(
        default="",
        max_length=LONGEST_RULES,
        description="TOML: which disk of a machine takes which disk of the image, before the server's"
        " rules; empty: those",
    )
    clients: (
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_CLIENTS)] | None
    ) = Field(None, description="ids, names or MACs; all null: every machine that shows up")
    groups: Words | None = Field(None, description="and the machines in one of these groups")
    tags: Words | None = Field(None, description="of those groups, else of all, who have all these tags")


class NeverStarts(Refused):
    """A cast that waits for more machines than may take part at a time."""


def request_of(clients: Clients, wish: NewCast) -> Request:
    """The cast that ``wish`` asks for.

    Raises Refused (its rules), NeverStarts, NotFound (machine, group).
    """
    if wish.rules:
        parse_rules(wish.rules, "the cast's rules")
    targets = targeted(clients, wish.clients, wish.groups, wish.tags)
    rules = CastRules(
        wish.start_clients, wish.keep_open, wish.update, targets, wish.start_after, wish.most_at_once
    )
    if rules.objection:
        raise NeverStarts(
            rules.objection, hint="let it start with fewer, or let more take part at a time"
        )
    return Request(
        wish.image,
        rules,
        wish.after,
        CastOptions(
            peers=wish.peers,
            mac=wish.mac,
            encrypt=wish.encrypt,
            rate_cap=wish.rate_cap,
            transport=wish.transport,
        ),
        wish.rules,
    )
