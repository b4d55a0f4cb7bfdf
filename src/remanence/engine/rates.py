"""Rates from counts: a rate with its interval, floor, base, ceiling and excess, as a line of `rates.parquet`.

Rows are counted block by block; counts of blocks add up, and all intervals are computed from the sums. A rate needs the
number of hits and of rows; the paired difference to the base model needs the four counts of the 2 x 2 table.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.schema import RATES
from remanence.stats.intervals import newcombe_difference, paired_counts
from remanence.stats.rates import Comparison, Excess, Rate

Flags: TypeAlias = NDArray[np.float64]
"""[rows] 1 or 0, NaN where the row could not be measured."""


class TrainCounts(NamedTuple):
    """Counts of training rows that could be measured on the fine-tuned model."""

    hits: int = 0
    n: int = 0
    both: int = 0
    """Hits of the fine-tuned and of the base model. This and the next three sum to the rows measured on both models."""
    only_tuned: int = 0
    only_base: int = 0
    neither: int = 0
    ceiling_hits: int = 0
    ceiling_n: int = 0

    @classmethod
    def of(cls, tuned: Flags, base: Flags | None, ceiling: Flags | None) -> TrainCounts:
        """Count rows [N] by their verdicts on the fine-tuned model, the base model and the ceiling."""
        measured = ~np.isnan(tuned)
        hit = tuned[measured] > 0.5
        table = (0, 0, 0, 0)
        if base is not None:
            on_both = ~np.isnan(base[measured])
            a, b = hit[on_both], base[measured][on_both] > 0.5
            table = (int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))
        top = (0, 0) if ceiling is None else count_hits(ceiling[measured])
        return cls(int(hit.sum()), hit.size, *table, *top)

    def plus(self, other: TrainCounts) -> TrainCounts:
        """The counts of both blocks together."""
        return TrainCounts(*(a + b for a, b in zip(self, other, strict=True)))


class HeldoutCounts(NamedTuple):
    """Counts of held-out rows, the floor."""

    hits: int = 0
    n: int = 0
    base_hits: int = 0
    base_n: int = 0

    @classmethod
    def of(cls, tuned: Flags, base: Flags | None) -> HeldoutCounts:
        """Count rows [H] by their verdicts on the fine-tuned model and the base model."""
        return cls(*count_hits(tuned), *((0, 0) if base is None else count_hits(base)))

    def plus(self, other: HeldoutCounts) -> HeldoutCounts:
        """The counts of both blocks together."""
        return HeldoutCounts(*(a + b for a, b in zip(self, other, strict=True)))


def count_hits(flags: Flags) -> tuple[int, int]:
    """(hits, rows that could be measured)."""
    known = flags[~np.isnan(flags)]
    return int((known > 0.5).sum()), int(known.size)


def compare_counts(
    train: TrainCounts, heldout: HeldoutCounts | None, *, with_base: bool, with_ceiling: bool = True
) -> tuple[Comparison, Rate | None]:
    """The rate of the training rows beside floor, base and ceiling, and the base model's rate on held-out rows.

    The base model is compared on the rows that could be measured on both models.
    """
    excess = over_base = base = floor = base_floor = None
    if heldout is not None:
        floor = Rate.counted(heldout.hits, heldout.n)
        excess = Excess.of(newcombe_difference(train.hits, train.n, heldout.hits, heldout.n))
        base_floor = Rate.counted(heldout.base_hits, heldout.base_n) if with_base else None
    if with_base:
        table = train.both, train.only_tuned, train.only_base, train.neither
        base = Rate.counted(train.both + train.only_base, sum(table))
        over_base = Excess.of(paired_counts(*table))
    ceiling = Rate.counted(train.ceiling_hits, train.ceiling_n) if with_ceiling else None
    return Comparison(Rate.counted(train.hits, train.n), floor, base, ceiling, excess, over_base), base_floor


def rate_line(
    metric: str, by: str, value: str, order: int, result: Comparison, base_floor: Rate | None, detail: str = ""
) -> dict[str, Any]:
    """One line of `rates.parquet`. `base_floor`: the rate of the base model on held-out rows."""
    line: dict[str, Any] = {"metric": metric, "by": by, "value": value, "order": order, "detail": detail}
    sides = {"": result.measured, "floor_": result.floor, "base_": result.base, "base_floor_": base_floor}
    for side, rate in {**sides, "ceiling_": result.ceiling}.items():
        known = rate if rate is not None and rate.n else None
        line[f"{side}hits"] = None if rate is None else rate.hits
        line[f"{side}n"] = None if rate is None else rate.n
        line[f"{side}rate"] = None if known is None else known.rate
        line[f"{side}low"] = None if known is None else known.low
        line[f"{side}high"] = None if known is None else known.high
    for name, excess in (("excess", result.excess), ("over_base", result.excess_over_base)):
        line[name] = None if excess is None else excess.value
        line[f"{name}_low"] = None if excess is None else excess.low
        line[f"{name}_high"] = None if excess is None else excess.high
    line["normalised"] = result.normalised if result.measured.n else None
    return line


def rates_to_arrow(lines: list[dict[str, Any]]) -> pa.Table:
    """`rates.parquet`."""
    return pa.Table.from_pylist(lines, schema=RATES)
