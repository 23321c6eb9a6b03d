"""One module per command of the `fleetcast-client` program."""
