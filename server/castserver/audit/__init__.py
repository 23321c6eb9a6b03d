"""Who did what: the hash-chained log of all that was changed, and the calls about it."""
