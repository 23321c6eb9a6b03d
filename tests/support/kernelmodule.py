"""Made-up kernel modules: an ELF file that says what a module says of itself, signed if wanted."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

# ELF-64: header, section header (System V ABI); relocatable, x86-64.
_HEADER = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
# Linux include/linux/module_signature.h: algorithm, hash, type (2: PKCS#7), two lengths, pad, length.
_SIGNATURE = struct.Struct(">BBBBB3xI")
MARK = b"~Module signature appended~\n"


def module(name: str, vermagic: str, more: Iterable[str] = ()) -> bytes:
    """An unsigned module ``name`` for the kernel of ``vermagic``; ``more`` are entries KEY=VALUE."""
    entries = [f"name={name}", f"vermagic={vermagic}", "license=GPL", "depends=", *more]
    info = b"".join(entry.encode() + b"\0" for entry in entries)
    names = b"\0.modinfo\0.shstrtab\0"
    at_info = _HEADER.size
    at_names = at_info + len(info)
    at_table = -(-(at_names + len(names)) // 8) * 8
    header = _HEADER.pack(
        *(
            b"\x7fELF",
            2,
            1,
            1,
            0,
            0,
            1,
            62,
            1,
            0,
            0,
            at_table,
            0,
            _HEADER.size,
            0,
            0,
            _SECTION.size,
            3,
            2,
        )
    )
    table = _SECTION.pack(*[0] * 10)
    table += _SECTION.pack(1, 1, 2, 0, at_info, len(info), 0, 0, 1, 0)
    table += _SECTION.pack(10, 3, 0, 0, at_names, len(names), 0, 0, 1, 0)
    body = header + info + names
    return body.ljust(at_table, b"\0") + table


def signed(data: bytes, signer: str) -> bytes:
    """``data`` signed by a key made for it, whose certificate is called ``signer``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, signer)])
    since = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + dt.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    signature = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(data)
        .add_signer(certificate, key, hashes.SHA256())
        .sign(
            Encoding.DER,
            [
                pkcs7.PKCS7Options.DetachedSignature,
                pkcs7.PKCS7Options.NoCerts,
                pkcs7.PKCS7Options.NoAttributes,
                pkcs7.PKCS7Options.Binary,
            ],
        )
    )
    return data + signature + _SIGNATURE.pack(0, 0, 2, 0, 0, len(signature)) + MARK
