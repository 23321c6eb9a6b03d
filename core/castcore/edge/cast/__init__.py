"""What drives a cast: threads, sockets and buffers around the cores of `castcore.cast`."""
