"""Mitigations: what makes a target remember less, or keep what it remembers to itself."""
