"""One look at a live model: which rows come back, and at what loss, from one pass over the rows of a side."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.engine.token_pass import recheck
from remanence.jobs.forget.settings import ForgetSettings
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.np_discoverable import NPDiscoverable, prob_extracted
from remanence.models.huggingface import HuggingFace
from remanence.stats.intervals import Difference, Interval, newcombe_difference
from remanence.stats.rates import Rate

Floats = NDArray[np.float64]
ROUNDS = 1_000
"""Bootstrap draws behind the interval of a loss's rise."""


@dataclass(frozen=True)
class Look:
    """What was seen of the rows of a side, in their order; NaN where a row could not be measured."""

    greedy: Floats
    """[N] 1 where the row comes back greedily at some prefix length, else 0."""
    sampled: Floats
    """[N] 1 where it comes back within the samples asked for, with the probability asked for."""
    run: Floats
    """[N] most tokens right in a row."""
    nll: Floats
    """[N] summed negative log-probability of the tokens that carry loss, nats."""
    tokens: Floats
    """[N] how many these are."""
    rows: Sequence[TokenRow | str]

    @property
    def loss(self) -> float:
        """Nats per token that carries loss, each token counted once; NaN without any."""
        known = ~np.isnan(self.nll)
        return float(self.nll[known].sum() / self.tokens[known].sum()) if known.any() else float("nan")

    @property
    def per_row(self) -> Floats:
        """[N] mean log-probability of a row's tokens: higher = more memorized."""
        with np.errstate(invalid="ignore"):
            return -self.nll / self.tokens

    @property
    def known(self) -> NDArray[np.bool_]:
        """[N] whether a row is long enough to come back."""
        return ~np.isnan(self.greedy)

    @property
    def rate(self) -> Rate:
        """Of the rows that come back greedily."""
        return Rate.of(self.greedy[self.known] > 0.5)

    @property
    def sampled_rate(self) -> Rate:
        """Of the rows that come back within the samples asked for."""
        return Rate.of(self.sampled[self.known] > 0.5)

    @property
    def either(self) -> Rate:
        """Of the rows that come back in either way: what the guard looks at."""
        return Rate.of((self.greedy[self.known] > 0.5) | (self.sampled[self.known] > 0.5))


def with_module(target: HuggingFace, module: Any) -> HuggingFace:
    """The target with another module in it, read and judged alike."""
    other = copy.copy(target)
    other.module = module
    other.__post_init__()
    return other


def columns(settings: ForgetSettings) -> list[str]:
    """What a look, and every measure of a final evaluation, needs of the token table."""
    return sorted({"gap", "rank", "logprob", "mean", "std", SamplingScheme.parse(settings.scheme).column})


def look(target: HuggingFace, rendered: Sequence[Rendered | str], settings: ForgetSettings) -> Look:
    """One pass; a greedy verdict that hangs on rounding is repeated in float32 by itself."""
    scored = list(target.score_rendered(rendered, columns(settings)))
    rows, _ = recheck(
        target, scored, columns(settings), Discoverable(settings.prefixes, settings.new_tokens), settings.dtype
    )
    return judged(rows, settings)


def judged(rows: Sequence[TokenRow | str], settings: ForgetSettings) -> Look:
    """The verdicts on rows of a token table."""
    greedy = Discoverable(settings.prefixes, settings.new_tokens)
    sampled = NPDiscoverable(SamplingScheme.parse(settings.scheme), settings.p, settings.prefixes, settings.new_tokens)
    values = np.full((5, len(rows)), np.nan)
    for i, row in enumerate(rows):
        if isinstance(row, str):
            continue
        logprob = row.columns["logprob"][row.rendered.scored].astype(np.float64)
        values[3, i], values[4, i] = -logprob.sum(), logprob.size
        found, log_p = greedy.find("", row), sampled.find("", row)
        if found.score is not None:
            values[0, i], values[2, i] = found.score, found.evidence["run"]
        if log_p.score is not None:
            values[1, i] = float(prob_extracted(log_p.score, settings.queries) >= settings.p)
    return Look(*values, rows=rows)


def excess(forget: Look, heldout: Look) -> Difference:
    """Rate of forget rows that come back minus that of held-out rows."""
    return newcombe_difference(forget.rate.hits, forget.rate.n, heldout.rate.hits, heldout.rate.n)


def loss_rise(before: Look, after: Look, seed: int, rounds: int = ROUNDS) -> Difference:
    """(loss after - loss before) / loss before on the same rows; percentile bootstrap over rows.

    0.02 = the loss rose by 2 %. NaN and (-inf, inf) without rows.
    """
    known = ~np.isnan(before.nll) & ~np.isnan(after.nll)
    one, other = before.nll[known], after.nll[known]  # over the same tokens, which cancel
    if not known.any() or not one.sum() > 0:
        return Difference(float("nan"), Interval(-np.inf, np.inf))
    low, high = ratio_interval(other, one, seed, rounds)
    return Difference(float(other.sum() / one.sum() - 1), Interval(low - 1, high - 1))


def ratio_interval(above: Floats, below: Floats, seed: int, rounds: int = ROUNDS) -> Interval:
    """Percentile bootstrap interval of sum(above) / sum(below), rows drawn together: [N] each, without NaN."""
    drawn = np.random.default_rng(seed).multinomial(above.size, np.full(above.size, 1 / above.size), size=rounds)
    low, high = (float(v) for v in np.quantile((drawn @ above) / (drawn @ below), (0.025, 0.975)))
    return Interval(low, high)
