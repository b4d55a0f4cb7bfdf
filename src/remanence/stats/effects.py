"""Members minus held-out rows, tuned minus base: the difference in differences, pooled over seeds, with intervals.

    excess = mean(members, tuned) - mean(held-out, tuned)
    DiD    = excess - (mean(members, base) - mean(held-out, base))

Rows are resampled within each seed (bootstrap, percentile interval), keeping the tuned and base values of a row
together. All seeds have equal weight. If all rows are equal the bootstrap interval has no width, and Newcombe's
interval on the pooled counts is used instead.

Shapes: C cells (metrics), R members, H held-out rows, B bootstrap rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.stats.intervals import newcombe_difference

Array = NDArray[np.float64]


class SeedSides(NamedTuple):
    """Values of one seed; NaN = not measurable, left out of the means."""

    members_CR: Array
    heldout_CH: Array
    base_members_CR: Array
    base_heldout_CH: Array


@dataclass(frozen=True)
class Effects:
    """One value per cell [C]; NaN if a side has no rows."""

    excess: Array
    excess_low: Array
    excess_high: Array
    did: Array
    did_low: Array
    did_high: Array
    excess_SC: Array
    """[seeds, C]"""
    rate_BC: Array
    """[B, C] bootstrap draws of the members' mean."""


def effects(seeds: Sequence[SeedSides], rounds: int = 1000, seed: int = 0, level: float = 0.95) -> Effects:
    """Excess and difference in differences of every cell, averaged over seeds."""
    if not seeds:
        raise ValueError("effects need at least one seed")
    excess_SC, did_SC = [], []
    rates, draws, did_draws = [], [], []
    for number, sides in enumerate(seeds):
        rng = np.random.default_rng((seed, number))
        whole = tuple(_means(np.ones((1, v.shape[1])), v)[0] for v in sides)
        excess_SC.append(whole[0] - whole[1])
        did_SC.append(whole[0] - whole[1] - (whole[2] - whole[3]))
        weights_BR, weights_BH = (_weights(rng, v.shape[1], rounds) for v in sides[:2])
        drawn = [_means(w, v) for w, v in zip((weights_BR, weights_BH) * 2, sides, strict=True)]
        rates.append(drawn[0])
        draws.append(drawn[0] - drawn[1])
        did_draws.append(drawn[0] - drawn[1] - (drawn[2] - drawn[3]))
    excess_BC, did_BC = _over_seeds(np.stack(draws)), _over_seeds(np.stack(did_draws))
    excess, did = _over_seeds(np.stack(excess_SC)), _over_seeds(np.stack(did_SC))
    low, high = _ends(excess_BC, level)
    did_low, did_high = _ends(did_BC, level)
    for cell in np.flatnonzero((low == high) & ~np.isnan(excess)):
        low[cell], high[cell] = _newcombe(seeds, int(cell), (0, 1), level)
    for cell in np.flatnonzero((did_low == did_high) & ~np.isnan(did)):
        tuned, base = (_newcombe(seeds, int(cell), sides, level) for sides in ((0, 1), (2, 3)))
        at, base_at = excess[cell], excess[cell] - did[cell]
        did_low[cell] = did[cell] - math.hypot(at - tuned[0], base[1] - base_at)
        did_high[cell] = did[cell] + math.hypot(tuned[1] - at, base_at - base[0])
    rate_BC = _over_seeds(np.stack(rates))
    return Effects(excess, low, high, did, did_low, did_high, np.stack(excess_SC), rate_BC)


def interval_of(draws_B: Array, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of draws; (NaN, NaN) without draws."""
    low, high = _ends(draws_B[:, None], level)
    return float(low[0]), float(high[0])


def _weights(rng: np.random.Generator, rows: int, rounds: int) -> Array:
    """[B, rows] number of times each row is drawn."""
    return rng.multinomial(rows, np.full(rows, 1 / rows), rounds).astype(np.float64) if rows else np.zeros((rounds, 0))


def _means(weights_BR: Array, values_CR: Array) -> Array:
    """[B, C] weighted means over the measurable rows."""
    known = ~np.isnan(values_CR)
    total = weights_BR @ np.where(known, values_CR, 0.0).T
    count = weights_BR @ known.T.astype(np.float64)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _over_seeds(values_S: Array) -> Array:
    """Mean over the seeds with a measurable row."""
    known = ~np.isnan(values_S)
    count = known.sum(axis=0)
    total = np.where(known, values_S, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _ends(draws_BC: Array, level: float) -> tuple[Array, Array]:
    tail = (1 - level) / 2
    low, high = np.full(draws_BC.shape[1], np.nan), np.full(draws_BC.shape[1], np.nan)
    some = ~np.isnan(draws_BC).all(axis=0)
    if some.any():
        low[some], high[some] = np.nanquantile(draws_BC[:, some], [tail, 1 - tail], axis=0)
    return low, high


def _newcombe(seeds: Sequence[SeedSides], cell: int, sides: tuple[int, int], level: float) -> tuple[float, float]:
    counts: list[int] = []
    for side in sides:
        values = np.concatenate([values_of[side][cell] for values_of in seeds])
        values = values[~np.isnan(values)]
        counts += [int((values == 1).sum()), int(values.size)]
    hits_a, n_a, hits_b, n_b = counts
    return newcombe_difference(hits_a, n_a, hits_b, n_b, level).interval
