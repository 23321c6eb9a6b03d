"""Disks captured to a server: :mod:`uploader` sends an image, :mod:`capturing` reads disks into it."""
