"""The cast protocol, sans-IO; PROTOCOL.md beside this file is its document."""
