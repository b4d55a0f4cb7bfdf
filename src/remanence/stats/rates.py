"""Rates with exact intervals, and their comparison with floor, base model and ceiling.

The excess over held-out rows and over the base model are differences of rates with Newcombe's intervals
(`remanence.stats.intervals`); the normalised score is (rate - floor) / (ceiling - floor).
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from remanence.stats.intervals import Difference, clopper_pearson, newcombe_difference, paired_difference

Label = TypeVar("Label", bound=Hashable)


@dataclass(frozen=True)
class Rate:
    """Number of hits among n rows, with the exact (Clopper-Pearson) interval, by default at 95 %."""

    hits: int
    n: int
    """Number of measurable rows; others are not counted."""
    low: float
    high: float

    @property
    def rate(self) -> float:
        """`hits / n`; NaN without rows."""
        return self.hits / self.n if self.n else math.nan

    @classmethod
    def of(cls, flags: NDArray[np.bool_] | Sequence[bool], level: float = 0.95) -> Rate:
        """The rate of True in flags [N]."""
        array = _flags(flags)
        return cls.counted(int(array.sum()), int(array.size), level)

    @classmethod
    def counted(cls, hits: int, n: int, level: float = 0.95) -> Rate:
        """The rate of `hits` in `n` rows. ValueError unless 0 <= hits <= n."""
        return cls(hits, n, *clopper_pearson(hits, n, level))


@dataclass(frozen=True)
class Excess:
    """Difference of two rates, in [-1, 1], with its interval; above 0 = more memorized."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, difference: Difference) -> Excess | None:
        """None if one of the rates has no rows."""
        return None if math.isnan(difference.value) else cls(difference.value, *difference.interval)


@dataclass(frozen=True)
class Comparison:
    """A measured rate and its comparisons; None = not available."""

    measured: Rate
    floor: Rate | None = None
    """Held-out rows through the same model and pipeline."""
    base: Rate | None = None
    """The base model on the rows of `measured`."""
    ceiling: Rate | None = None
    """The rows' own continuations through the same pipeline: the highest rate of any model."""
    excess: Excess | None = None
    """`measured - floor`: other rows, same model (Newcombe, independent)."""
    excess_over_base: Excess | None = None
    """`measured - base`: same rows, other model (Newcombe, paired)."""

    @property
    def normalised(self) -> float | None:
        """(rate - floor) / (ceiling - floor): 0 = like held-out rows, 1 = as high as the pipeline can show.

        Negative when the rate is under the floor. None without floor or ceiling, or when the ceiling is not above it.
        """
        if self.floor is None or self.ceiling is None:
            return None
        span = self.ceiling.rate - self.floor.rate
        return (self.measured.rate - self.floor.rate) / span if span > 0 else None


def compare(
    measured: NDArray[np.bool_] | Sequence[bool],
    floor: NDArray[np.bool_] | Sequence[bool] | None = None,
    base: NDArray[np.bool_] | Sequence[bool] | None = None,
    ceiling: NDArray[np.bool_] | Sequence[bool] | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compare the flags of the training rows [N] with held-out rows [H], the base model [N] and the ceiling [N].

    `base` speaks of the very rows of `measured`, in the same order: ValueError when its length differs.
    """
    flags = _flags(measured)
    excess = over_base = None
    if floor is not None:
        held = _flags(floor)
        excess = Excess.of(newcombe_difference(int(flags.sum()), flags.size, int(held.sum()), held.size, level))
    if base is not None:
        over_base = Excess.of(paired_difference(flags, _flags(base), level))
    return Comparison(
        measured=Rate.of(flags, level),
        floor=None if floor is None else Rate.of(floor, level),
        base=None if base is None else Rate.of(base, level),
        ceiling=None if ceiling is None else Rate.of(ceiling, level),
        excess=excess,
        excess_over_base=over_base,
    )


def breakdown(
    flags: NDArray[np.bool_] | Sequence[bool], labels: Sequence[Label], level: float = 0.95
) -> dict[Label, Rate]:
    """The rate within each label; `labels` [N] beside `flags` [N]. In natural order: "5-8" comes before "33+"."""
    array = _flags(flags)
    if len(labels) != array.size:
        raise ValueError(f"every row needs one label, got {len(labels)} labels for {array.size} rows")
    hits: dict[Label, int] = {}
    rows: dict[Label, int] = {}
    for flag, label in zip(array.tolist(), labels, strict=True):
        hits[label] = hits.get(label, 0) + int(flag)
        rows[label] = rows.get(label, 0) + 1
    return {label: Rate.counted(hits[label], rows[label], level) for label in sorted(rows, key=_natural)}


def length_bucket(n: int) -> str:
    """Powers of two, for lengths in tokens: "0", "1-31", "32-63", "64-127", ... ValueError below 0."""
    _not_negative(n)
    if n < 32:
        return "1-31" if n else "0"
    low = 1 << (n.bit_length() - 1)
    return f"{low}-{2 * low - 1}"


def copies_bucket(n: int) -> str:
    """Number of copies of a row in buckets: "0", "1", "2", "3-4", "5-8", "9-16", "17-32", "33+". ValueError below 0."""
    _not_negative(n)
    if n <= 2:
        return str(n)
    if n > 32:
        return "33+"
    high = 1 << (n - 1).bit_length()
    return f"{high // 2 + 1}-{high}"


def _flags(flags: NDArray[np.bool_] | Sequence[bool]) -> NDArray[np.bool_]:
    array = np.asarray(flags)
    if array.ndim != 1 or (array.size and array.dtype != np.bool_):
        raise ValueError(f"a rate is counted over one True or False per row, got {array.dtype} of shape {array.shape}")
    return array.astype(np.bool_)


def _natural(label: Any) -> tuple[int, float, str]:
    if isinstance(label, (int, float)):
        return (0, float(label), "")
    number = re.match(r"\d+", str(label))
    return (0, float(number.group()), str(label)) if number else (1, 0.0, str(label))


def _not_negative(n: int) -> None:
    if n < 0:
        raise ValueError(f"a count of tokens or copies cannot be negative, got {n}")
