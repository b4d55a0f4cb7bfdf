"""Estimate of requests and tokens before any data is sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remanence.core.errors import RemanenceError
from remanence.models.endpoint.settings import EndpointSettings
from remanence.models.endpoint.wire import Request

BYTES_PER_TOKEN = 4
"""Of a text whose tokenizer is not known: about what English has."""


@dataclass(frozen=True)
class Estimate:
    """Requests and tokens to come."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Upper bound: the maximum that the requests allow."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    @classmethod
    def of(cls, requests: Iterable[Request]) -> Estimate:
        """What these requests come to."""
        sizes = [(request.prompt_tokens, int(request.body["max_tokens"])) for request in requests]
        return cls(
            len(sizes),
            sum(prompt_tokens for prompt_tokens, _ in sizes),
            sum(completion_tokens for _, completion_tokens in sizes),
        )

    def cost(self, settings: EndpointSettings) -> float | None:
        """Money, in the currency of the prices; None without prices."""
        return cost(self.prompt_tokens, self.completion_tokens, settings)

    def sentence(self, settings: EndpointSettings) -> str:
        """For the terminal."""
        money = self.cost(settings)
        price = "" if money is None else f": about {money:,.2f} at these prices"
        return (
            f"To ask: {self.requests:,} requests, about {self.prompt_tokens:,} prompt tokens and at most "
            f"{self.completion_tokens:,} completion tokens{price}."
        )

    def check(self, settings: EndpointSettings, sent: int = 0) -> None:
        """Raise `RemanenceError` if this, and the requests sent already, is more than the settings allow."""
        if settings.max_requests is not None and self.requests + sent > settings.max_requests:
            raise RemanenceError(
                f"This audit needs {self.requests + sent:,} requests, more than --max-requests "
                f"{settings.max_requests:,}; no row was sent: ask fewer rows with --generate-rows, or fewer --prefixes."
            )
        money = self.cost(settings)
        if money is not None and settings.max_cost is not None and money > settings.max_cost:
            raise RemanenceError(
                f"This audit may cost {money:,.2f}, more than --max-cost {settings.max_cost:g}; no row was sent: "
                "ask fewer rows with --generate-rows, or fewer lengths with --prefixes."
            )


def cost(prompt_tokens: int, completion_tokens: int, settings: EndpointSettings) -> float | None:
    """Money for so many tokens; None without both prices."""
    if settings.price_in is None or settings.price_out is None:
        return None
    return (prompt_tokens * settings.price_in + completion_tokens * settings.price_out) / 1e6


def tokens_of(text: str) -> int:
    """Tokens of a text, roughly, when nobody knows the tokenizer."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
