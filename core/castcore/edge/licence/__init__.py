"""Licence files and ledgers on disks."""
