"""Sampling scheme: temperature first, then top-k, then top-p, then renormalise.

The order and the edge cases are those of Hugging Face `generate`: top-k keeps every token that ties with the k-th;
top-p keeps a token while the mass of the tokens above it is below p, so the token that crosses p stays in. Which of
several equally likely tokens at that edge stay in Hugging Face leaves open (its sort is unstable); here the lower ids.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from remanence.core.errors import RemanenceError


@dataclass(frozen=True)
class SamplingScheme:
    """Sampling parameters. `SamplingScheme()` samples from the model's distribution."""

    temperature: float = 1.0
    top_k: int | None = None
    """Keep the k most likely tokens (and ties with the last); None keeps all."""
    top_p: float | None = None
    """Keep the most likely tokens up to and including the one that brings their mass to p; None keeps all."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise RemanenceError(
                f"temperature must be a number above 0, got {self.temperature}; greedy decoding is measured by itself."
            )
        if self.top_k is not None and self.top_k < 1:
            raise RemanenceError(f"top-k must be at least 1, got {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise RemanenceError(f"top-p must lie in (0, 1], got {self.top_p}.")

    @property
    def name(self) -> str:
        """Short and readable, `T=0.8,k=40,p=0.9`; `parse` reads it back."""
        parts = [f"T={_short(self.temperature)}"]
        if self.top_k is not None:
            parts.append(f"k={self.top_k}")
        if self.top_p is not None:
            parts.append(f"p={_short(self.top_p)}")
        return ",".join(parts)

    @property
    def column(self) -> str:
        """Name of the token-table column that holds the log-probability under this scheme."""
        return f"logprob[{self.name}]"

    @classmethod
    def parse(cls, text: str) -> SamplingScheme:
        """Read `T=0.8,k=40,p=0.9`; parts are optional, at least one is required."""
        values: dict[str, float] = {}
        for part in text.split(","):
            key, _, value = part.strip().partition("=")
            if key not in {"T", "k", "p"}:
                raise RemanenceError(f"Cannot read sampling scheme {text!r}: write it like 'T=0.8,k=40,p=0.9'.")
            try:
                values[key] = float(value)
            except ValueError:
                raise RemanenceError(f"Cannot read sampling scheme {text!r}: {value!r} is not a number.") from None
        return cls(
            temperature=values.get("T", 1.0),
            top_k=_whole(values["k"], text) if "k" in values else None,
            top_p=values.get("p"),
        )

    @classmethod
    def of_column(cls, column: str) -> SamplingScheme | None:
        """The scheme whose `column` this is, or None for any other column."""
        if column.startswith("logprob[") and column.endswith("]"):
            return cls.parse(column.removeprefix("logprob[").removesuffix("]"))
        return None


def _short(value: float) -> str:
    """The shortest decimal representation of the number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


def _whole(value: float, text: str) -> int:
    if not value.is_integer():
        raise RemanenceError(f"Cannot read sampling scheme {text!r}: top-k is a whole number, not {value:g}.")
    return int(value)
