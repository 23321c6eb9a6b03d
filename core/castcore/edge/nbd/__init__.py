"""Serving images to NBD clients."""
