"""Fleetcast's shared library: pure models and protocols, and the edge that drives them."""

__version__ = "0.1.0"
