"""Make a model forget rows, prove it, and show the price."""
