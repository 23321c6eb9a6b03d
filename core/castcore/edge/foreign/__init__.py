"""Bringing in the images of other programs."""
