"""Builds boot media: the PXE tree, later ISO, USB and deploy media."""
