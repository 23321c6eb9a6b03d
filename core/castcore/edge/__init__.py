"""The only code that touches the world: disks, sockets, clocks, subprocesses, terminals."""
