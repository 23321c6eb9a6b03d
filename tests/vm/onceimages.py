"""Tiny boot images that say on the serial port that they run: floppy, disk, ISO; for BIOS and UEFI."""

from __future__ import annotations

from pathlib import Path

from castcore.edge import run

SECTOR = 512
FLOPPY_BYTES = 1440 * 1024
DISK_BYTES = 8 << 20
FAT_BYTES = 12 << 20
STARTED = "FLEETCAST IMAGE STARTED"
READ_ON = "FLEETCAST IMAGE READ ON"

# A boot sector (NASM, org 0x7c00), hand-made so that the test needs no assembler. The texts follow it.
#   xor ax,ax / mov ds,ax / mov es,ax / mov ss,ax / mov sp,0x7c00 / cld
#   mov si,first / call say                      the text behind the code
#   mov ax,0x0201 / mov bx,0x7e00 / mov cx,5 / xor dh,dh / int 0x13 / jc stop
#   mov si,0x7e00 / call say                     the text in the fifth sector of the drive we came from
#   stop: hlt / jmp stop
#   say: lodsb / test al,al / jz done / push dx / mov ah,al / mov dx,0x3fd
#   ready: in al,dx / test al,0x20 / jz ready / mov dx,0x3f8 / mov al,ah / out dx,al / pop dx / jmp say
#   done: ret / first:
_CODE = bytes.fromhex(
    "31c08ed88ec08ed0bc007cfcbe447ce81800b80102bb007eb9050030f6cd137206be007ee80300f4ebfd"
    "ac84c074145288c4bafd03eca82074fbbaf80388e0ee5aebe7c3"
)


def boot_sector() -> bytes:
    """512 bytes that say ``STARTED``, then what stands in the fifth sector."""
    said = f"\r\n{STARTED}\r\n\0".encode()
    return (_CODE + said).ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def bios_disk(path: Path, size: int) -> None:
    """A floppy or a disk of ``size`` bytes for BIOS."""
    fifth = f"{READ_ON}\r\n\0".encode().ljust(SECTOR, b"\0")
    path.write_bytes((boot_sector() + bytes(3 * SECTOR) + fifth).ljust(size, b"\0"))


def uefi_disk(path: Path, loaders: Path) -> None:
    """A FAT disk with the signed chain of the Debian root ``loaders``; its GRUB says both texts."""
    path.write_bytes(bytes(FAT_BYTES))
    run.run(["mformat", "-i", str(path), "-v", "ONCE", "::"], timeout=60)
    run.run(["mmd", "-i", str(path), "::EFI", "::EFI/BOOT", "::EFI/debian"], timeout=60)
    chain = {
        "BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
        "BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
    }
    for name, source in chain.items():
        run.run(["mcopy", "-i", str(path), str(loaders / source), f"::EFI/{name}"], timeout=60)
    # GRUB reads this from the image: it has one, when it gets here.
    menu = f'echo "{STARTED}"\necho "{READ_ON}"\nsleep 5\nhalt\n'
    run.run(["mcopy", "-i", str(path), "-", "::EFI/debian/grub.cfg"], data=menu.encode(), timeout=60)


def iso(path: Path, loaders: Path, folder: Path) -> None:
    """An ISO image that boots by BIOS (El Torito, no emulation) and by UEFI; made in ``folder``."""
    content = folder / "iso"
    (content / "EFI/debian").mkdir(parents=True)
    (content / "boot.bin").write_bytes(boot_sector().ljust(2048, b"\0"))
    uefi_disk(content / "efi.img", loaders)
    menu = run.run(["mtype", "-i", str(content / "efi.img"), "::EFI/debian/grub.cfg"], timeout=60)
    # Some firmware shows GRUB the whole medium rather than the FAT image in it.
    (content / "EFI/debian/grub.cfg").write_bytes(menu)
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-o", str(path), "-b", "boot.bin"]
    command += ["-no-emul-boot", "-boot-load-size", "4", "-eltorito-alt-boot", "-e", "efi.img"]
    run.run([*command, "-no-emul-boot", str(content)], timeout=60)
