"""The NBD protocol, sans-IO: what a read-only server answers."""
