"""Runs inside a guest (tests.vm.guest): makes a firmware RAID of its disks, or proves what one holds.

Arguments: ``make`` and the metadata (imsm, ddf); or ``prove``, the array's UUID and an image. Prints one
line of JSON.
"""

from __future__ import annotations

import json
import sys

from castcore.edge import commandline
from castserver.commands import verify

from tests.vm.arrays import FOLDER, assembled, disks, in_sync, make, stop


def prove(uuid: str, image: str) -> dict[str, object]:
    array, _ = assembled(uuid)
    code = commandline.main("fleetcast", "", [verify], ["verify", image, "--against", array.path])
    found: dict[str, object] = {"code": int(code), "in_sync": in_sync(array.path)}
    stop()
    return found


def main() -> None:
    FOLDER.mkdir()
    what, *words = sys.argv[1:]
    found = {"uuid": make(words[0], "1", disks())[1]} if what == "make" else prove(*words)
    print(f"\nCASE {json.dumps(found)}")


if __name__ == "__main__":
    main()
