"""Images on disk: capturing, storing, restoring and proving them."""
