"""Measures of whether a row can be extracted."""
