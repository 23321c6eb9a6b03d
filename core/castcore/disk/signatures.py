"""Who signed an EFI program, and whom a firmware trusts: what Secure Boot will compare. Pure.

Authenticode signatures in a PE/COFF file (Microsoft, "PE Format", *The Attribute Certificate Table*),
and the signature lists of the variable ``db`` (UEFI Specification 2.10, section 32.4.1). Nothing is
verified here: the firmware does that. We say beforehand what it will object to.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import pkcs7

from castcore.disk.bootentry import Signer
from castcore.errors import BadImage

# PE32 and PE32+ by the optional header's magic: where the certificate table's entry is in that header.
_DIRECTORY = {0x10B: 96 + 4 * 8, 0x20B: 112 + 4 * 8}
_PKCS7 = 0x0002  # WIN_CERT_TYPE_PKCS_SIGNED_DATA
_CERTIFICATE = struct.Struct("<IHH")
_LIST = struct.Struct("<16sIII")
_X509 = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
_MOST = 64  # signatures of a program, certificates of a signature: far more than any has


def program_signers(program: bytes) -> tuple[Signer, ...]:
    """Everybody named by the certificates of ``program``'s signatures; () when it has none.

    Raises BadImage when it is no EFI program.
    """
    found: dict[str, Signer] = {}
    for signature in _signatures(program):
        try:
            certificates = pkcs7.load_der_pkcs7_certificates(signature)
        except (ValueError, UnsupportedAlgorithm):
            continue
        for certificate in certificates[:_MOST]:
            for name in (certificate.subject, certificate.issuer):
                signer = _signer(name)
                found[signer.key] = signer
    return tuple(found.values())


def trusted_signers(database: bytes) -> tuple[Signer, ...]:
    """Whom the value of ``db`` names by certificate; what cannot be read in it is left out."""
    found: dict[str, Signer] = {}
    at = 0
    while at + _LIST.size <= len(database):
        kind, size, header, each = _LIST.unpack_from(database, at)
        if size < _LIST.size or at + size > len(database):
            break
        if kind == _X509 and each > 16:
            for entry in range(at + _LIST.size + header, at + size - each + 1, each):
                # The owner's GUID stands before the certificate.
                try:
                    certificate = x509.load_der_x509_certificate(database[entry + 16 : entry + each])
                except ValueError:
                    continue
                signer = _signer(certificate.subject)
                found[signer.key] = signer
        at += size
    return tuple(found.values())


def _signatures(program: bytes) -> Iterator[bytes]:
    try:
        (pe,) = struct.unpack_from("<I", program, 0x3C)
        (magic,) = struct.unpack_from("<H", program, pe + 24)
        if program[:2] != b"MZ" or program[pe : pe + 4] != b"PE\0\0" or magic not in _DIRECTORY:
            raise BadImage("it is no EFI program")
        at, size = struct.unpack_from("<II", program, pe + 24 + _DIRECTORY[magic])
    except struct.error:
        raise BadImage("it is no EFI program") from None
    end = min(at + size, len(program))
    for _ in range(_MOST):
        if at == 0 or at + _CERTIFICATE.size > end:
            return
        length, _revision, kind = _CERTIFICATE.unpack_from(program, at)
        if length < _CERTIFICATE.size or at + length > end:
            return
        if kind == _PKCS7:
            yield _unpadded(program[at + _CERTIFICATE.size : at + length])
        at += (length + 7) & ~7


def _unpadded(der: bytes) -> bytes:
    """``der`` without what aligns it: its own length is in its head (X.690, 8.1.3)."""
    if len(der) < 2 or der[1] == 0x80:
        return der
    octets = der[1] & 0x7F if der[1] & 0x80 else 0
    body = int.from_bytes(der[2 : 2 + octets], "big") if octets else der[1]
    return der[: 2 + octets + body]


def _signer(name: x509.Name) -> Signer:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    shown = str(common[0].value) if common else name.rfc4514_string()
    text = "".join(c if c.isprintable() else "?" for c in shown)[:200]
    return Signer(text, hashlib.sha256(name.public_bytes()).hexdigest())
