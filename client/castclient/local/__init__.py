"""The deploy medium at a machine: its disks captured, or an image of the medium restored, without a server."""
