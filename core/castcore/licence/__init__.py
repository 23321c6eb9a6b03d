"""Licence files and the ledger of a deploy medium, pure; ``LEDGER.md`` is the ledger's document."""

from castcore.licence.layout import COPY, SIZE
from castcore.licence.ledger import Balance, Ledger, NoLicence, Standing, Step, Write
from castcore.licence.licencefile import (
    ANY_IMAGE,
    ID_SIZE,
    MOST_BYTES,
    SUFFIX,
    Licence,
    issue_licence,
    open_licence,
    require_issuer,
)
from castcore.licence.opening import fresh_ledger, is_ledger, open_ledger
from castcore.licence.record import MOST_RECENT, MOST_RESERVATIONS, Event, EventKind, Use

__all__ = [
    "ANY_IMAGE",
    "COPY",
    "ID_SIZE",
    "MOST_BYTES",
    "MOST_RECENT",
    "MOST_RESERVATIONS",
    "SIZE",
    "SUFFIX",
    "Balance",
    "Event",
    "EventKind",
    "Ledger",
    "Licence",
    "NoLicence",
    "Standing",
    "Step",
    "Use",
    "Write",
    "fresh_ledger",
    "is_ledger",
    "issue_licence",
    "open_ledger",
    "open_licence",
    "require_issuer",
]
