"""The state directory: its lock, a backup of it, the unit that runs the server."""
