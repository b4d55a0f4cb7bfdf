"""Rates by how many tokens must come back, and by a column of the data: which task, source or year gives most away?

A row comes back at a budget of n when its next n tokens are all the first choice of greedy decoding at some prefix
length of the grid. A row with fewer tokens than that is not measurable there: it is in no denominator, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.engine.rates import Flags
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.rates import RowFacts, Sides, comes_back, line
from remanence.jobs.audit.settings import AuditSettings

COLUMN = "column:"
"""Stands before the name of the column in `by`, so that a column may be called length or copies."""
BUDGET = "budget="
"""Stands before the budget in `detail`."""


def says(budget: int) -> Callable[[Found], Flags]:
    """Whether the next `budget` tokens come back; NaN for rows that have not so many."""

    def verdict(found: Found) -> Flags:
        run, room = found.reaches.T
        return np.where(room < budget, np.nan, (run >= budget).astype(np.float64))

    return verdict


def budget_rates(
    found: dict[tuple[str, str], Found],
    train: RowFacts,
    heldout: RowFacts | None,
    keep_H: NDArray[np.bool_],
    settings: AuditSettings,
) -> list[dict[str, Any]]:
    """Lines of `rates.parquet`: at each budget over all rows, then by each column at `new_tokens` and each budget."""
    at = {budget: Sides.of(found, keep_H, says(budget)) for budget in settings.budgets}
    lines = [line("greedy", "budget", str(budget), budget, sides) for budget, sides in at.items()]
    told = {f"{BUDGET}{budget}": sides for budget, sides in at.items()}
    if settings.by:
        told = {"": Sides.of(found, keep_H, comes_back), **told}
    for g in groups(train, heldout, keep_H, settings):
        lines += [line("greedy", g.by, g.value, g.order, s.where(g.train_N, g.heldout_H), d) for d, s in told.items()]
    return lines


class Group(NamedTuple):
    """The rows that have one value in a column."""

    by: str
    value: str
    order: int
    train_N: NDArray[np.bool_]
    """[distinct training rows]"""
    heldout_H: NDArray[np.bool_] | None
    """[distinct held-out rows that belong to the floor]"""


def groups(
    train: RowFacts, heldout: RowFacts | None, keep_H: NDArray[np.bool_], settings: AuditSettings
) -> Iterator[Group]:
    """Every value of every column that the training rows have, numbers by size and words by the alphabet."""
    for place, column in enumerate(settings.by):
        values = np.array([row[place] for row in train.by], object)
        held = None if heldout is None else np.array([row[place] for row in heldout.by], object)[keep_H]
        for order, value in enumerate(sorted(set(values.tolist()), key=natural)):
            there = None if held is None else np.asarray(held == value, bool)
            yield Group(f"{COLUMN}{column}", value, order, np.asarray(values == value, bool), there)


def natural(value: str) -> tuple[int, float, str]:
    """Sorts numbers by size, before words by the alphabet."""
    try:
        number = float(value)
    except ValueError:
        return (1, 0.0, value)
    return (0, number, value) if np.isfinite(number) else (1, 0.0, value)
