"""Disks and raw files: what is on them, what is in use, reading and writing them."""
