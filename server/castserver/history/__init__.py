"""What was written when, on which machine, from which image, with which proof."""
