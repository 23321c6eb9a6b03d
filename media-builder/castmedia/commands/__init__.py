"""One module per command of the `media-builder` program."""
