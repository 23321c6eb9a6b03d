"""Deploy media as they come and go."""
