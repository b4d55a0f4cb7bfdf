"""Corpora that the project makes itself, where the truth is known."""
