"""Lines of `rates.parquet`: a rate with its count, interval, floor, base, ceiling and excess."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.schema import RATES
from remanence.stats.rates import Comparison, Rate

Flags: TypeAlias = NDArray[np.float64]
"""[rows] 1 or 0, NaN where the row could not be measured."""


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
