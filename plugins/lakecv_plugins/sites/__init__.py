"""Ways to get workers."""
