"""What firmware will object to: signatures read from programs and from ``db``, and what is said."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from castcore.disk import BootEntry, BootLoader, DiskLayout, Partition, TableType
from castcore.disk.bootentry import FALLBACK_LOADER, Signer
from castcore.disk.objections import FirmwareFacts, objections
from castcore.disk.signatures import program_signers, trusted_signers
from castcore.errors import BadImage
from castcore.units import MIB
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given
from hypothesis import strategies as st

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
X509_LIST = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
KEY = ec.derive_private_key(7, ec.SECP256R1())
DATE = datetime(2026, 1, 1, tzinfo=UTC)


def certificate(subject: str, issuer: str) -> x509.Certificate:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(name(issuer), name(subject), KEY.public_key(), 1, DATE, DATE)
    return builder.sign(KEY, hashes.SHA256())


def program(*certificates: x509.Certificate, magic: int = 0x20B) -> bytes:
    """A PE file of headers alone, with one padded signature by ``certificates``."""
    head = bytearray(512)
    head[:2], head[0x3C:0x40], head[0x80:0x84] = b"MZ", struct.pack("<I", 0x80), b"PE\0\0"
    struct.pack_into("<H", head, 0x80 + 24, magic)
    if not certificates:
        return bytes(head)
    signature = pkcs7.serialize_certificates(list(certificates), serialization.Encoding.DER)
    signature += bytes(-len(signature) % 8)
    entry = struct.pack("<IHH", 8 + len(signature), 0x0200, 2) + signature
    struct.pack_into("<II", head, 0x80 + 24 + (144 if magic == 0x20B else 128), 512, len(entry))
    return bytes(head) + entry


def database(*certificates: x509.Certificate) -> bytes:
    """The value of ``db``: a list of hashes, then one list for each certificate."""
    hashed = bytes(48)
    value = struct.pack("<16sIII", bytes(16), 28 + len(hashed), 0, len(hashed)) + hashed
    for one in certificates:
        data = bytes(16) + one.public_bytes(serialization.Encoding.DER)
        value += struct.pack("<16sIII", X509_LIST, 28 + len(data), 0, len(data)) + data
    return value


@pytest.mark.parametrize("magic", [0x20B, 0x10B])
def test_signers_of_a_program_are_those_its_certificates_name(magic: int) -> None:
    found = program_signers(program(certificate("publisher", "CA 2011"), magic=magic))
    assert [s.name for s in found] == ["publisher", "CA 2011"]
    assert program_signers(program(magic=magic)) == ()


def test_a_loader_and_its_ca_have_the_same_key() -> None:
    _, ca = program_signers(program(certificate("publisher", "CA 2011")))
    assert trusted_signers(database(certificate("CA 2011", "root"))) == (ca,)
    assert ca not in trusted_signers(database(certificate("CA 2023", "root")))


@given(st.binary(max_size=300), st.integers(0, 900))
def test_damage_is_refused_or_read(noise: bytes, at: int) -> None:
    whole = program(certificate("publisher", "CA"))
    for data in (noise, whole[:at], whole[:at] + noise + whole[at + len(noise) :]):
        with suppress(BadImage):
            program_signers(data)
        trusted_signers(database(certificate("CA", "CA"))[:at] + noise)


CA11, CA23 = Signer("CA 2011", "11"), Signer("CA 2023", "23")
UEFI = DiskLayout(64 * MIB, 512, TableType.GPT, partitions=(Partition(1, MIB, MIB, type=ESP),))
BIOS = DiskLayout(64 * MIB, 512, TableType.MBR, partitions=(Partition(1, MIB, MIB, bootable=True),))
BOTH = DiskLayout(
    64 * MIB,
    512,
    TableType.GPT,
    partitions=(Partition(1, MIB, MIB, type=ESP), Partition(2, 2 * MIB, MIB, type=BIOS_BOOT)),
)
SHIM = BootLoader("\\EFI\\x\\shimx64.efi", 0, 1, (CA11,))
OTHER = BootLoader("\\EFI\\x\\grubx64.efi", 0, 1)
FALLBACK = BootLoader(FALLBACK_LOADER, 0, 1, (CA11,))
ENTRY = BootEntry("x", SHIM.path.upper(), 0, 1)
SECURE = FirmwareFacts(uefi=True, secure_boot=True, trusted=(CA23,))


@pytest.mark.parametrize("loaders", [(SHIM, OTHER), (OTHER, SHIM, FALLBACK)])
def test_a_loader_under_another_ca_is_told_with_both(loaders: tuple[BootLoader, ...]) -> None:
    (text,) = objections([UEFI], [ENTRY], loaders, SECURE)
    assert text == (
        "Secure Boot will refuse \\EFI\\x\\shimx64.efi: it is signed under CA 2011;"
        " this machine trusts CA 2023"
    )


def test_without_entries_the_fallback_loader_counts() -> None:
    (text,) = objections([UEFI], [], [OTHER, FALLBACK], SECURE)
    assert FALLBACK_LOADER in text
    unsigned = BootLoader(FALLBACK_LOADER.lower(), 0, 1)
    (text,) = objections([UEFI], [], [unsigned], SECURE)
    assert text.endswith("it is not signed")


@pytest.mark.parametrize(
    "firmware",
    [
        None,
        FirmwareFacts(uefi=True, trusted=(CA23,)),
        FirmwareFacts(uefi=True, secure_boot=True, trusted=(CA23, CA11)),
    ],
)
def test_what_will_boot_is_not_objected_to(firmware: FirmwareFacts | None) -> None:
    assert objections([UEFI], [ENTRY], [SHIM, OTHER], firmware) == ()


@pytest.mark.parametrize(
    ("layout", "uefi", "says"),
    [
        (BIOS, True, "BIOS only"),
        (UEFI, False, "UEFI only"),
        (BOTH, True, ""),
        (BOTH, False, ""),
        (DiskLayout(MIB, 512, TableType.NONE), True, ""),
    ],
)
def test_the_way_of_starting_must_be_one_the_image_has(
    layout: DiskLayout, uefi: bool, says: str
) -> None:
    found = objections([layout], [], [], FirmwareFacts(uefi=uefi))
    assert [text for text in found if says and says in text] == list(found)
    assert bool(found) == bool(says)


def test_bitlocker_needs_its_recovery_key_anywhere() -> None:
    layout = DiskLayout(MIB, 512, TableType.GPT, partitions=(Partition(3, 0, MIB, fstype="BitLocker"),))
    (text,) = objections([layout], [], [], None)
    assert "partition 3 of disk 0 is encrypted by BitLocker" in text
