"""Shared substrates of experiments and tests: data with a known answer, and small models trained on it, built once."""
