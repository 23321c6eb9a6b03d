"""One module per command of the `fleetcast` program."""
