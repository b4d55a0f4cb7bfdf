"""Measures of whether a row can be made to come back."""
