"""What two texts have in common: shared runs of tokens, and duplicates."""
