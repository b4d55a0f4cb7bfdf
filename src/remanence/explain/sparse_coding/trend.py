"""Trend: the change of a value when a task needs twice as many fields, with its interval over records.

Shapes: A tasks, N records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.explain.sparse_coding.field_memory import Measured
from remanence.stats.intervals import Interval

Floats = NDArray[np.floating[Any]]


class Trend(NamedTuple):
    """Change per doubling of the number of needed fields; positive = more is retained when more is needed."""

    value: float
    interval: Interval
    """95 %, bootstrap over records."""

    def rises(self, least: float) -> bool | None:
        """True if the interval lies above 0 and reaches `least`; False if it lies below `least`; otherwise None."""
        if self.interval.high < least:
            return False
        return True if self.interval.low > 0 else None

    def figures(self) -> dict[str, Any]:
        """The stored form."""
        return {"per_doubling": self.value, "interval": list(self.interval)}


def rise(values: Floats, needed: Sequence[int]) -> NDArray[np.float64]:
    """[N] slope of `values` [A, N] on log2 of the number of needed fields [A], for each record.

    Least squares. ValueError for fewer than two tasks, or for a task that needs no field.
    """
    if len(needed) < 2 or min(needed) < 1:
        raise ValueError(f"a trend needs at least two tasks that each need a field, got {list(needed)}")
    at = np.log2(np.asarray(needed, np.float64))
    at = at - at.mean()
    return np.asarray(at @ values / (at @ at), np.float64)


def trend(slopes: Floats, floor: Floats | None, seed: int, rounds: int = 2000) -> Trend:
    """Mean of the slopes [N] of the training records minus that of the unseen records [N'], with its interval.

    Without a floor, the mean of the slopes. The bootstrap resamples each set separately in every round.
    """
    rng = np.random.default_rng((seed, 8))
    values, drawn = float(slopes.mean()), _means(slopes, rng, rounds)
    if floor is not None:
        values, drawn = values - float(floor.mean()), drawn - _means(floor, rng, rounds)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Trend(values, Interval(float(low), float(high)))


def memory_trend(arms: Mapping[int, Measured], fields: Sequence[int], seed: int) -> Trend:
    """Bits per doubling of the number of needed fields, for these fields: training records minus unseen records.

    Over the tasks that need none of the fields, or over all tasks if `fields` is all fields.
    """
    tasks = _tasks(arms, fields)
    own, floor = (
        rise(np.stack([getattr(arms[s], part)[:, list(fields)].mean(axis=1) for s in tasks]), tasks)
        for part in ("exposure", "floor")
    )
    return trend(own, floor, seed)


def state_trend(arms: Mapping[int, Measured], fields: Sequence[int], seed: int) -> Trend:
    """Share of the fields of new records that the probe predicts, per doubling of the number of needed fields."""
    tasks = _tasks(arms, fields)
    return trend(rise(np.stack([arms[s].at_writing[:, list(fields)].mean(axis=1) for s in tasks]), tasks), None, seed)


def _tasks(arms: Mapping[int, Measured], fields: Sequence[int]) -> list[int]:
    some = [s for s in arms if s > 0]
    whole = len(fields) == next(iter(arms.values())).exposure.shape[1]
    return some if whole else [s for s in some if not set(fields) & set(arms[s].needed)]


def _means(values: Floats, rng: np.random.Generator, rounds: int) -> NDArray[np.float64]:
    return np.asarray(values[rng.integers(values.size, size=(rounds, values.size))].mean(axis=1), np.float64)
