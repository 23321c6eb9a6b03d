"""The server's own log, and those that machines hand in."""
