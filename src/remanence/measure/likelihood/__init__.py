"""Measures of how likely a row is to the model: all read from one pass."""
