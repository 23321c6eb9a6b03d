"""Casts: made, run on the server's interfaces, kept over a restart, watched."""
