"""Mitigations that change the weights of a model that is trained already."""
