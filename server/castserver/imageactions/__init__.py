"""What `fleetcast image` does beyond listing: each module is one action, as commands are."""
