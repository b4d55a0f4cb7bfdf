"""Exceptions; messages are one sentence that names the row and the remedy."""

from __future__ import annotations


class RemanenceError(ValueError):
    """Misuse or bad input. The message is one sentence: what is wrong, where, and how to fix it."""


class NotMeasured(Exception):
    """Raised for a record that cannot be measured; it becomes a `Finding` with a reason and without a score."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
