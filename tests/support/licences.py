"""A medium that is a file in a folder: its ledger, its licence files, and being plugged in and out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from castcore.edge.licence.ledgerfile import LedgerFile, format_ledger
from castcore.licence import SIZE, Balance, Ledger, issue_licence
from castcore.trust import SigningKey
from castserver.licences.ledgerholder import HeldLedger
from castserver.licences.licenceterms import LicenceTerms, WithoutLicence

ISSUER = SigningKey(bytes(31) + b"\x07")
TERMS = LicenceTerms(issuers=frozenset({ISSUER.public.hex()}))
KEY = "stick 1"
STRICT = replace(TERMS, without=WithoutLicence.REFUSE)


@dataclass
class FolderMedium:
    """A ``castserver.licences.ledgerholder.LedgerHolder`` of the files in ``folder``."""

    folder: Path
    serial: str = "4C530001"
    connected: bool = True
    issued: int = field(default=0)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.ledger_path.exists():
            self.ledger_path.write_bytes(bytes(SIZE))
            format_ledger(self.ledger_path, 0, SIZE)

    @property
    def ledger_path(self) -> Path:
        return self.folder / "ledger"

    def places(self) -> tuple[HeldLedger, ...]:
        place = HeldLedger(KEY, self.folder.name, self.ledger_path, 0, SIZE, self.serial, self.folder)
        return (place,) if self.connected else ()

    def issue(
        self, count: int, *, product: str = "*", expires: int = 0, key: SigningKey = ISSUER
    ) -> None:
        """Put one more licence file on the medium."""
        self.issued += 1
        name = f"{self.issued:02}.lic"
        number = self.issued.to_bytes(16, "big")
        data = issue_licence(key, number, product, count, expires=expires)
        (self.folder / name).write_bytes(data)

    def ledger(self) -> Ledger:
        """The ledger as it lies there, while no server has it."""
        with LedgerFile(self.ledger_path, 0, SIZE, self.serial, writable=False) as file:
            return file.ledger

    def balance(self) -> Balance:
        """That of its only licence."""
        (only,) = self.ledger().balances()
        return only
