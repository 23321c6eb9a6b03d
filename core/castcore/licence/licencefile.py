"""Licence files: who issued how many casts of what, until when; signed by the issuer (Ed25519).

A licence file is one canonical JSON object; its signature covers all the others of its fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from castcore import canonical
from castcore.errors import BadPacket, Refused, Untrusted
from castcore.plain import from_plain, to_plain
from castcore.trust import KEY_SIZE, SIGNATURE_SIZE, SigningKey, verify

SUFFIX = ".lic"
PURPOSE = "licence"
ANY_IMAGE = "*"
ID_SIZE = 16
MOST_BYTES = 2048
MOST_COUNT = 1_000_000
LONGEST_PRODUCT = 100
LONGEST_SERIAL = 127
# The last second of the year 9999.
LATEST = 253_402_300_799
_FORMAT = 1
_HEX = re.compile(r"[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Licence:
    """``count`` machines may be cast images that ``product`` names, before ``expires``.

    ``id`` (32 hex digits) is the licence's own; ``product`` an image's name or a pattern of names
    (``office-*``, ``*`` any); ``expires`` Unix seconds, 0 never; ``medium`` the serial number of the
    only USB disk that may hold it, "" any; ``issuer`` the public key in hex of who signed it.
    """

    id: str
    product: str
    count: int
    expires: int
    medium: str
    issuer: str

    def covers(self, image: str) -> bool:
        """Whether the image called ``image`` may be cast by it."""
        return fnmatchcase(image, self.product)

    def expired(self, now: int) -> bool:
        """Whether it is over at ``now``, Unix seconds."""
        return 0 < self.expires <= now


@dataclass(frozen=True, slots=True)
class _File:
    """The fields of a licence file."""

    format: int
    id: str
    product: str
    count: int
    expires: int
    medium: str
    issuer: str
    signature: str


def issue_licence(
    key: SigningKey, licence_id: bytes, product: str, count: int, *, expires: int = 0, medium: str = ""
) -> bytes:
    """A licence file signed by ``key``; ``licence_id`` are `ID_SIZE` random bytes. Raises Refused."""
    licence = Licence(licence_id.hex(), product, count, expires, medium, key.public.hex())
    wrong = _objection(licence)
    if wrong:
        raise Refused(f"no licence can be issued: {wrong}")
    value = {"format": _FORMAT, **to_plain(licence)}
    signature = key.sign(PURPOSE, canonical.encode(value))
    return canonical.encode({**value, "signature": signature.hex()})


def open_licence(data: bytes) -> Licence:
    """The licence in a file's bytes, its signature proven to be its issuer's.

    Raises Untrusted. Whether that issuer is one to trust is :func:`require_issuer`'s question.
    """
    try:
        value = canonical.decode(data.strip(), limit=MOST_BYTES)
        file = from_plain(_File, value)
    except BadPacket as error:
        raise Untrusted(
            f"not a licence file: {error.what}", hint="ask its issuer for it again"
        ) from None
    licence = Licence(file.id, file.product, file.count, file.expires, file.medium, file.issuer)
    wrong = _objection(licence)
    if file.format != _FORMAT:
        wrong = f"its format is {file.format}, this Fleetcast knows {_FORMAT}"
    elif not _is_hex(file.signature, SIGNATURE_SIZE):
        wrong = "its signature is none"
    if wrong:
        raise Untrusted(f"not a licence file: {wrong}", hint="ask its issuer for it again")
    signed = canonical.encode({k: v for k, v in value.items() if k != "signature"})
    verify(bytes.fromhex(file.issuer), PURPOSE, signed, bytes.fromhex(file.signature))
    return licence


def require_issuer(licence: Licence, trusted: frozenset[str]) -> None:
    """Return if the licence's issuer is one of the keys ``trusted`` (hex). Raises Untrusted."""
    if licence.issuer not in trusted:
        raise Untrusted(
            f"licence {licence.id[:8]} was issued by key {licence.issuer}, which is not trusted here",
            hint="if it is right, name the key: `fleetcast serve --licence-issuer KEY`",
        )


def _objection(licence: Licence) -> str:
    """What is wrong with a licence's fields, "" when nothing is."""
    if not _is_hex(licence.id, ID_SIZE) or not _is_hex(licence.issuer, KEY_SIZE):
        return "its id or its issuer is none"
    if not 0 < len(licence.product) <= LONGEST_PRODUCT or not licence.product.isprintable():
        return f"the product is a name of 1 to {LONGEST_PRODUCT} characters"
    if not 1 <= licence.count <= MOST_COUNT:
        return f"{licence.count} machines are not within 1 and {MOST_COUNT}"
    if not 0 <= licence.expires <= LATEST:
        return "it expires at no time that there is"
    if len(licence.medium.encode(errors="replace")) > LONGEST_SERIAL or not licence.medium.isprintable():
        return f"a USB disk's serial number has at most {LONGEST_SERIAL} bytes"
    return ""


def _is_hex(text: str, size: int) -> bool:
    return len(text) == 2 * size and _HEX.fullmatch(text) is not None
