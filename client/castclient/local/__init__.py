"""The deploy medium at a machine: disks captured, images restored, without a server."""
