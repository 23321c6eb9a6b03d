"""Who a server is: its Ed25519 key and its TLS certificate, made at first start and then kept.

The Ed25519 key is the root of trust. Browsers take no Ed25519 certificates, so TLS has a key of its
own (ECDSA P-256); the SHA-256 of its certificate (DER) stands in everything the Ed25519 key signs.
"""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from castcore.edge.image.signing import KEY_FILE, server_key
from castcore.edge.image.store import require_space
from castcore.errors import DiskFailed, Untrusted
from castcore.trust import SigningKey

CERTIFICATE_FILE = "tls.crt"
TLS_KEY_FILE = "tls.key"
# Our own clients pin the certificate and ignore its dates; ten years keep browsers content.
VALID_FOR = timedelta(days=3650)
CLOCK_SLACK = timedelta(days=2)


@dataclass(frozen=True)
class ServerIdentity:
    """A server's keys; ``certificate`` and ``private_key`` are PEM files, as TLS servers want them.

    ``certificate_digest`` is the SHA-256 of the certificate's DER form: what clients pin.
    """

    key: SigningKey
    certificate: Path
    private_key: Path
    certificate_digest: bytes
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load_or_make(cls, directory: Path) -> ServerIdentity:
        """The identity kept in ``directory`` (made, mode 0700, when it is not there yet).

        Raises Untrusted when a file there is damaged, NoSpace, DiskFailed when they cannot be read or
        written.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = _load_or_make_key(directory / KEY_FILE)
            certificate, private_key = directory / CERTIFICATE_FILE, directory / TLS_KEY_FILE
            if not (certificate.exists() and private_key.exists()):
                _make_certificate(certificate, private_key)
            return cls(key, certificate, private_key, certificate_digest(certificate))
        except OSError as error:
            require_space(error, directory, "another directory")
            raise DiskFailed(
                f"{directory}: {error.strerror or error}", hint="give a directory we may write to"
            ) from None

    @classmethod
    def ephemeral(cls) -> ServerIdentity:
        """An identity for one run: its files lie in a private directory until :meth:`close`."""
        folder = tempfile.TemporaryDirectory(prefix="fleetcast-")
        try:
            made = cls.load_or_make(Path(folder.name))
        except BaseException:
            folder.cleanup()
            raise
        return cls(made.key, made.certificate, made.private_key, made.certificate_digest, folder)

    def close(self) -> None:
        """Remove the files of an ephemeral identity; nothing for a kept one."""
        if self._folder is not None:
            self._folder.cleanup()


def write_secret(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, readable by its owner only, complete or absent. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load_or_make_key(path: Path) -> SigningKey:
    key = server_key(path.parent)
    if key is None:
        key = SigningKey.generate()
        write_secret(path, key.seed)
    return key


def _make_certificate(certificate: Path, private_key: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Fleetcast {host}"[:64])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(h) for h in _names(host)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(private_key, pem)
    # Last, so that a certificate that exists always has its key.
    write_secret(certificate, made.public_bytes(Encoding.PEM))


def _names(host: str) -> tuple[str, ...]:
    return ("localhost",) if not host.isascii() else tuple(dict.fromkeys(("localhost", host)))


def certificate_digest(path: Path) -> bytes:
    """The SHA-256 of the PEM certificate at ``path``, in DER form. Raises Untrusted or OSError."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise Untrusted(
            f"{path} is no certificate", hint="remove it and its tls.key to make a new pair"
        ) from None
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
