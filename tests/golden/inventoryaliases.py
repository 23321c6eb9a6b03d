"""Cuts ``inventories/full.alias`` out of a boot image: the aliases that any of the ten machines meets.

python -m tests.golden.inventoryaliases build/media-full/initrd.img
"""

from __future__ import annotations

import sys
from pathlib import Path

from castmedia import imagereader, inventory
from castmedia.modalias import AliasTable

FOLDER = Path(__file__).resolve().parent / "inventories"
TABLE = FOLDER / "full.alias"


def machines() -> dict[str, tuple[inventory.Found, ...]]:
    """The devices of each machine, by the name of its file."""
    files = sorted(FOLDER.glob("*.txt"))
    return {file.stem: inventory.parse(file.read_text()) for file in files}


def met(table: AliasTable) -> str:
    """The lines of ``table`` (as modules.alias has them) that a device of any machine fits."""
    found = {
        (alias.module, alias.pattern)
        for devices in machines().values()
        for device in devices
        for name in device.modaliases
        for alias in table.matching(name)
    }
    return "".join(f"alias {pattern} {module}\n" for module, pattern in sorted(found))


if __name__ == "__main__":
    TABLE.write_text(met(imagereader.alias_table(Path(sys.argv[1]))))
