"""What can go wrong, said in one sentence that names the row and the remedy."""

from __future__ import annotations


class RemanenceError(ValueError):
    """Misuse or bad input. The message is one sentence: what is wrong, where, and what to do about it."""


class NotMeasured(Exception):
    """Raised while judging one record that cannot be judged; it becomes a `Finding` with a reason, never a zero."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
