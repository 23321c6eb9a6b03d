"""Booting over the network: what is served where, to whom, and how far each machine came."""
