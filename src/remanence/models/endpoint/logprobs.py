"""Prompt log-probabilities of a server as columns of the token table.

The server gives the likeliest few tokens at each place. That is enough for the gap, which needs the best other token
only, and for a rank below their number; a rank beyond it stands as their number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.table import Rendered
from remanence.models.endpoint.wire import Logprobs

COLUMNS = ("logprob", "gap", "rank")
"""What can be filled; `logprob[T=1]` is `logprob`."""
Floats = NDArray[np.float64]


def places(logprobs: Logprobs, num_prompt: int) -> tuple[Floats, Floats, Floats]:
    """(log p, gap, rank) [N] of the prompt's tokens; NaN where nothing stands before a token.

    The gap is log p minus that of the best other token: the same as between logits.
    """
    own, gap, rank = (np.full(num_prompt, np.nan) for _ in range(3))
    for i in range(num_prompt):
        value, top = logprobs.own[i], logprobs.top[i]
        if value is None:
            continue
        others = sorted((p for token, p in top.items() if token != logprobs.tokens[i]), reverse=True)
        if not others:
            raise NotMeasured("the server told no other token than the row's own")
        own[i], gap[i], rank[i] = value, value - others[0], sum(p > value for p in others)
    return own, gap, rank


def by_token(logprobs: Logprobs, rendered: Rendered, num_prompt: int) -> dict[str, Any]:
    """Columns [T], where the server's tokens are the row's own."""
    if num_prompt != rendered.ids.size:
        raise NotMeasured(
            f"the server reads the row as {num_prompt} tokens and the tokenizer as {rendered.ids.size}: they differ"
        )
    return _columns(rendered, *places(logprobs, num_prompt))


def by_unit(logprobs: Logprobs, rendered: Rendered, starts: NDArray[np.int64], num_prompt: int) -> dict[str, Any]:
    """Columns [T] of units that begin at the characters `starts` [T]: each holds the tokens that begin in it.

    A unit's log p is the sum of its tokens'; its gap is the smallest and its rank the largest of them, so that a unit
    is said by greedy decoding if all of its tokens are.
    """
    if len(logprobs.offsets) < num_prompt:
        raise NotMeasured("the server does not tell where its tokens stand in the text")
    own, gap, rank = places(logprobs, num_prompt)
    unit = np.searchsorted(starts, np.array(logprobs.offsets[:num_prompt]), side="right") - 1
    unit = np.maximum(unit, 0)
    sums, least, most = np.zeros(starts.size), np.full(starts.size, np.inf), np.full(starts.size, -np.inf)
    with np.errstate(invalid="ignore"):  # the first token has none, and NaN stays NaN
        np.add.at(sums, unit, own)
        np.minimum.at(least, unit, gap)
        np.maximum.at(most, unit, rank)
    empty = np.bincount(unit, minlength=starts.size) == 0  # all of it stands in a token that began before
    sums[empty], least[empty], most[empty] = 0.0, np.inf, 0
    return _columns(rendered, sums, least, most)


def _columns(rendered: Rendered, own: Floats, gap: Floats, rank: Floats) -> dict[str, Any]:
    scored = rendered.scored
    if np.isnan(own[scored]).any():
        raise NotMeasured("the server left out the log-probability of some of its tokens")
    return {
        "logprob": np.where(scored, own, np.nan).astype(np.float32),
        "gap": np.where(scored, gap, np.nan).astype(np.float32),
        "rank": np.where(scored, rank, -1).astype(np.int32),
    }
