"""Rank correlation of two variables within tasks, so that differences between tasks have no effect.

Sources:
- Spearman 1904, "The proof and measurement of association between two things"; the partial correlation is Pearson's,
  taken on ranks.
- Efron 1979, "Bootstrap methods: another look at the jackknife": here rows are resampled within their task, by weights.

Correlations over tasks (one point per task) are confounded by all other differences between tasks. Here every variable
is ranked within its task, so that all tasks have the same ranks, and only differences between rows of one task count.

Shapes: N rows, B draws, C variables.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.stats.intervals import Interval

Floats = NDArray[np.floating[Any]]
NOTHING_LEFT = 1e-9
"""Share of a variable's variance below which the covariates explain it completely."""


@dataclass(frozen=True)
class Correlation:
    """A rank correlation in [-1, 1] with its bootstrap interval."""

    rho: float
    interval: Interval
    n: int
    """Number of rows, over all seeds."""


@dataclass(frozen=True)
class WithinTasks:
    """A rank correlation in every task, and over all tasks."""

    by_task: Mapping[str, Correlation | None]
    """None if a task has too few rows for its covariates, or one of the variables is constant in it."""
    pooled: Correlation | None
    """Over the tasks with a correlation, by ranks centred within each task."""
    left_out: int
    """Rows with a missing value (NaN)."""


def within_rank_correlation(
    x_N: Floats,
    y_N: Floats,
    tasks: Sequence[Hashable],
    covariates: Mapping[str, Floats] | None = None,
    rows: Sequence[Hashable] | None = None,
    seed: int = 0,
    level: float = 0.95,
    rounds: int = 2000,
) -> WithinTasks:
    """Spearman's rho of x and y within each task and pooled over tasks; > 0 = they increase together.

    With `covariates` [N] each, x and y are first adjusted for them, on ranks and by task. `rows` has the row of each
    line, so that lines of one row (its seeds) are resampled together; None = every line is a row. Percentile interval
    from resampling rows within tasks. Lines with a NaN are left out and counted.
    """
    given = [x_N, y_N, *(covariates or {}).values()]
    columns = np.stack([np.asarray(column, np.float64) for column in given])
    if columns.shape[1] != len(tasks) or (rows is not None and len(rows) != len(tasks)):
        raise ValueError(f"every row needs its task, got {len(tasks)} tasks for {columns.shape[1]} rows")
    whole = ~np.isnan(columns).any(axis=0)
    labels = np.array([str(task) for task in tasks], object)
    owners = np.arange(len(labels)) if rows is None else codes(rows)
    rng = np.random.default_rng(seed)
    by_task: dict[str, Correlation | None] = {}
    moments: list[NDArray[np.float64]] = []
    for task in sorted(set(labels)):
        here = whole & (labels == task)
        found = _task_moments(columns[:, here], owners[here], rng, rounds) if here.sum() > len(given) + 1 else None
        by_task[task] = None if found is None else _correlation(found, int(here.sum()), level)
        if found is not None:
            moments.append(found)
    n = sum(c.n for c in by_task.values() if c is not None)
    pooled = _correlation(np.sum(moments, axis=0), n, level) if moments else None
    return WithinTasks(by_task, pooled, int((~whole).sum()))


def centred_ranks(values_N: Floats, weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B, N] rank of each row among the resampled rows, as a share of all, minus 1/2; ties get the mean rank.

    The weighted mean is 0. Equal to ranking the resampled rows, but the values are sorted only once.
    """
    total = weights_BN.sum(axis=1, keepdims=True)
    return (weight_below(values_N, weights_BN) / total) - 0.5


def weight_below(values_N: Floats, weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
    """[B, N] total weight of the rows with a lower value, and half of that with an equal one."""
    _, group, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    ordered = weights_BN[:, np.argsort(group, kind="stable")]
    each = np.add.reduceat(ordered, np.cumsum(counts) - counts, axis=1)
    return (np.cumsum(each, axis=1) - each / 2)[:, group]


def draws(owners_N: NDArray[np.int64], rng: np.random.Generator, rounds: int) -> NDArray[np.float64]:
    """[1 + B, N] number of times each line is in the sample: once in the first, then in B draws of owners with
    replacement."""
    _, owner = np.unique(owners_N, return_inverse=True)
    num = int(owner.max()) + 1
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=rounds)[:, owner]
    return np.concatenate([np.ones((1, owner.size)), drawn]).astype(np.float64)


def codes(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """[N] a number for each label, the same for equal ones."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels], np.int64)


def _task_moments(
    columns: NDArray[np.float64], owners: NDArray[np.int64], rng: np.random.Generator, rounds: int
) -> NDArray[np.float64] | None:
    """[1 + B, 2, 2] sums of squares and products of the ranks of x and y, minus what the covariates explain.

    The first is the data's own. None if x or y has no variance left.
    """
    weights = draws(owners, rng, rounds)
    num = columns.shape[0]
    found = np.empty((len(weights), num, num))
    step = max(1, 4_000_000 // columns.size)
    for at in range(0, len(weights), step):
        part = weights[at : at + step]
        ranks = np.stack([centred_ranks(column, part) for column in columns], axis=1)
        found[at : at + step] = (ranks * part[:, None]) @ ranks.transpose(0, 2, 1)
    left = found[:, :2, :2]
    if num > 2:
        across = found[:, :2, 2:]
        left = left - across @ np.linalg.pinv(found[:, 2:, 2:], hermitian=True) @ across.transpose(0, 2, 1)
    spread = found[0, [0, 1], [0, 1]]
    return None if bool((left[0, [0, 1], [0, 1]] <= NOTHING_LEFT * np.maximum(spread, 1)).any()) else left


def _correlation(moments: NDArray[np.float64], n: int, level: float) -> Correlation:
    """Draws without variation, which small samples have, are left out of the interval."""
    spread = moments[:, 0, 0] * moments[:, 1, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = np.where(spread > 0, moments[:, 0, 1] / np.sqrt(np.maximum(spread, 0)), np.nan)
    tail = (1 - level) / 2
    low, high = np.nanquantile(rho[1:], [tail, 1 - tail])
    return Correlation(float(rho[0]), Interval(float(low), float(high)), n)
