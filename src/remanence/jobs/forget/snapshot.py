"""A snapshot of a live model: which rows are extracted, and at what loss, from one pass over the rows of a side."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.engine.snapshot import Floats, Snapshot
from remanence.engine.token_pass import recheck
from remanence.jobs.forget.settings import ForgetSettings
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.np_discoverable import NPDiscoverable, prob_extracted
from remanence.models.huggingface import HuggingFace
from remanence.stats.intervals import Difference, Interval, newcombe_difference
from remanence.stats.rates import Rate

ROUNDS = 1_000
"""Bootstrap samples of the interval of a loss increase."""


@dataclass(frozen=True)
class SideSnapshot(Snapshot):
    """A snapshot of the rows of a side, in their order, with what only forgetting needs."""

    sampled: Floats
    """[N] 1 where the row is extracted by sampling, within `queries` samples with probability `p`."""
    run: Floats
    """[N] longest run of correct tokens."""
    rows: Sequence[TokenRow | str]

    @property
    def sampled_rate(self) -> Rate:
        """Of the rows that are extracted by sampling."""
        return Rate.of(self.sampled[self.known] > 0.5)

    @property
    def either(self) -> Rate:
        """Of the rows that are extracted greedily or by sampling: what the guard measures."""
        return Rate.of(self.flags | (self.sampled[self.known] > 0.5))


def with_module(target: HuggingFace, module: Any) -> HuggingFace:
    """The target with another module in it."""
    other = copy.copy(target)
    other.module = module
    other.__post_init__()
    return other


def columns(settings: ForgetSettings) -> list[str]:
    """Columns of the token table that a snapshot and every measure of an evaluation need."""
    return sorted({"gap", "rank", "logprob", "mean", "std", SamplingScheme.parse(settings.scheme).column})


def take_snapshot(target: HuggingFace, rendered: Sequence[Rendered | str], settings: ForgetSettings) -> SideSnapshot:
    """One pass; a greedy verdict within rounding error is repeated in float32 at batch size 1."""
    scored = list(target.score_rendered(rendered, columns(settings)))
    rows, _ = recheck(
        target, scored, columns(settings), Discoverable(settings.prefixes, settings.new_tokens), settings.dtype
    )
    return snapshot_of(rows, settings)


def snapshot_of(rows: Sequence[TokenRow | str], settings: ForgetSettings) -> SideSnapshot:
    """The snapshot that the rows of a token table give."""
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
    extracted, sampled_flag, run, nll, tokens = values
    return SideSnapshot(extracted, nll, tokens, sampled_flag, run, rows)


def excess(forget: Snapshot, heldout: Snapshot) -> Difference:
    """Extraction rate of forget rows minus that of held-out rows."""
    return newcombe_difference(forget.rate.hits, forget.rate.n, heldout.rate.hits, heldout.rate.n)


def loss_increase(before: Snapshot, after: Snapshot, seed: int, rounds: int = ROUNDS) -> Difference:
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
