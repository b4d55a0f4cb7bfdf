"""Mitigations after training: a few more steps, on an objective that makes the model forget rows."""
