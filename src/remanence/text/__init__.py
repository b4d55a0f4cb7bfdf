"""Text comparison: shared runs of tokens, duplicates, alignment."""
