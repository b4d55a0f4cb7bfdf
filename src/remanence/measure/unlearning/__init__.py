"""Measures of the unlearning literature, for comparison with its results."""
