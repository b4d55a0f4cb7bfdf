"""Contrasts: do the excess rates of two groups of rows differ by more than chance?

The excess of each group over its own floor is a difference of two rates (Newcombe); the difference of two such excesses
gets its interval from theirs, by the same rule: distances to the ends of independent intervals add like standard
errors. For several pairs the intervals are widened to be simultaneous (Bonferroni).

Sources:
- Newcombe 1998a, see `remanence.stats.intervals`.
- Zou & Donner 2008, "Construction of confidence limits about effect measures: a general approach", Statistics in
  Medicine 27:1693-1702.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from remanence.stats.intervals import Difference, Interval, newcombe_difference


class Counts(NamedTuple):
    """Hits and rows of one group and of its held-out rows; None = no held-out rows, so no floor is subtracted."""

    hits: int
    n: int
    floor_hits: int | None = None
    floor_n: int | None = None

    def above(self, level: float) -> Difference:
        """Rate minus floor, with its interval. Value NaN if either has no rows."""
        return newcombe_difference(self.hits, self.n, self.floor_hits or 0, self.floor_n or 0, level)


class Pair(NamedTuple):
    """Excess of group `a` minus excess of group `b`, in [-2, 2]; above 0 = a is more memorized."""

    a: str
    b: str
    value: float
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def contrast(a: Counts, b: Counts, level: float = 0.95) -> Difference:
    """Excess of a over its floor minus excess of b over its floor; of the rates themselves where neither has a floor.

    The four counts are of different rows. Value NaN and interval (-2, 2) where a rate has no rows.
    """
    if a.floor_n is None and b.floor_n is None:
        return newcombe_difference(a.hits, a.n, b.hits, b.n, level)
    one, other = a.above(level), b.above(level)
    if math.isnan(one.value) or math.isnan(other.value):
        return Difference(math.nan, Interval(-2.0, 2.0))
    (low, high), (below, above) = one.interval, other.interval
    value = one.value - other.value
    down = math.hypot(one.value - low, above - other.value)
    up = math.hypot(high - one.value, other.value - below)
    return Difference(value, Interval(max(-2.0, value - down), min(2.0, value + up)))


def contrasts(groups: Mapping[str, Counts], level: float = 0.95) -> list[Pair]:
    """Every pair of groups, each pair with the higher one first; all intervals hold together with probability `level`.

    Widest difference first. Groups without rows, or without held-out rows where others have some, are left out.
    """
    floored = any(c.floor_n is not None for c in groups.values())
    able = {name: c for name, c in groups.items() if c.n and (c.floor_n or not floored)}
    couples = list(combinations(able, 2))
    each = 1 - (1 - level) / max(1, len(couples))
    found: list[Pair] = []
    for a, b in couples:
        value, (low, high) = contrast(able[a], able[b], each)
        found.append(Pair(a, b, value, low, high) if value >= 0 else Pair(b, a, -value, -high, -low))
    return sorted(found, key=lambda pair: -pair.value)
