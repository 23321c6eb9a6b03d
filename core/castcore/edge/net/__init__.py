"""Interfaces, links, sockets and who is at the other end."""
