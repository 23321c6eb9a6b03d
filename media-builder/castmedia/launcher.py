"""What PyInstaller freezes: starts the client, or with ``--self-test`` proves that all of it is there.

The self-test runs in every build, inside the finished boot root: a module, library or symbol that
was forgotten fails the build and never a target machine. Booted with ``fleetcast.selftest`` it also
shows the hardware that the boot image found drivers for.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import sys
from types import ModuleType

SELF_TEST = "--self-test"
PACKAGES = ("castcore", "castclient")
LIBRARIES = ("libisal.so.2",)
# numpy imports its door to LAPACK when it starts, and the client never goes through: 11 MB left out;
# the other two are documentation.
ABSENT = ("numpy.linalg._umath_linalg", "numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")
# OpenSSL's legacy ciphers are a module of their own, which the boot root does without.
SETTINGS = {"CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1"}


def main() -> int:
    """Start the client with this process's arguments; return its exit code."""
    os.environ.update(SETTINGS)
    sys.modules.update({name: ModuleType(name) for name in ABSENT})
    if sys.argv[1:] == [SELF_TEST]:
        return self_test()
    return int(importlib.import_module("castclient.__main__").main() or 0)


def self_test() -> int:
    """Import every module, load every library, use each dependency once; return 0 or raise."""
    modules = [m for package in PACKAGES for m in _import_all(importlib.import_module(package))]
    for library in LIBRARIES:
        ctypes.CDLL(library)
    _use_dependencies()
    shown = "; ".join(f"{kind} {' '.join(names) or 'none'}" for kind, names in _hardware().items())
    print(f"FLEETCAST SELF-TEST OK: {len(modules)} modules; {shown}", flush=True)
    return 0


def _import_all(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [importlib.import_module(module.name) for module in found]


def _use_dependencies() -> None:
    import numpy as np
    import parted
    import zstandard
    from castcore import trust
    from castcore.cast import parity

    key = trust.SigningKey.generate()
    message = trust.digest(b"self-test")
    trust.verify(key.public, "self-test", message, key.sign("self-test", message))
    packed = zstandard.ZstdCompressor().compress(message)
    unpacked = zstandard.ZstdDecompressor().decompress(packed)
    same = np.frombuffer(unpacked, np.uint8) == np.frombuffer(message, np.uint8)
    if not same.all() or not parted.version():
        raise RuntimeError("zstandard, numpy or parted give wrong results")
    # The packages' ISA-L is another version than the host's, and chooses its code by the processor.
    rows = np.resize(np.frombuffer(message, np.uint8), (9, 1424))
    wanted = parity.combine(parity.COEFFICIENTS[:4, :9], rows)
    if (parity.encode(rows, np.arange(4)) != wanted).any():
        raise RuntimeError("ISA-L gives wrong parity")


def _hardware() -> dict[str, list[str]]:
    """Disks and network interfaces of real devices, each as name:driver."""
    import pyudev

    context = pyudev.Context()
    found: dict[str, list[str]] = {"disks": [], "NICs": []}
    for kind, subsystem in (("disks", "block"), ("NICs", "net")):
        for device in context.list_devices(subsystem=subsystem):
            driver = next((parent.driver for parent in device.ancestors if parent.driver), None)
            if driver is not None and device.device_type != "partition":
                found[kind].append(f"{device.sys_name}:{driver}")
    return found


if __name__ == "__main__":
    sys.exit(main())
