"""Likelihood measures, all computed from one forward pass."""
