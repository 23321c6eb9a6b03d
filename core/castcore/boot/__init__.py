"""Pure DHCP/PXE/boot-script decisions; BOOTING.md beside this file names the firmware met."""
