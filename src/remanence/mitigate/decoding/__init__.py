"""Mitigations that leave the model as it is and guard what it says."""
