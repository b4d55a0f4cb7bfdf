"""Which rows are kept aside: decided before training, and so that no kept row has a twin among those trained on.

Held-out rows say what the model gives back without having seen it; a copy of a training row among them would say more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.record import Group, Record
from remanence.text.duplicates import twin_groups


class Split(NamedTuple):
    """The two sides, each in the order of the data."""

    train: list[Record]
    heldout: list[Record]
    num_groups: int
    """Distinct rows: copies, near-duplicates and rows with the same value in the column `by` count as one."""


def split_rows(records: Sequence[Record], share: float, seed: int, by: str | None = None) -> Split:
    """Keeps a random `share` of the distinct rows aside, at least one; with a share of 0, none.

    Copies and near-duplicates (`text/duplicates.py`) go to the same side, and so do rows that agree in the column `by`.
    Raises `RemanenceError` when there are fewer than two distinct rows, or no such column.
    """
    if share == 0:
        return Split([replace(r, group="train") for r in records], [], 0)
    groups = joined(twin_groups([record.plain for record in records]), _values(records, by))
    names = np.unique(groups)
    if names.size < 2:
        raise RemanenceError(
            f"The {len(records)} rows are copies of one another, so none can be kept aside: give other rows with "
            "--heldout, or --heldout-share 0."
        )
    size = min(max(1, round(share * names.size)), names.size - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:size]
    aside = np.isin(groups, chosen)
    return Split(_side(records, ~aside, "train"), _side(records, aside, "heldout"), names.size)


def joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] the finest grouping in which rows that share a group in either of two groupings share one."""
    group, before = one, None
    while before is None or not np.array_equal(group, before):
        before = group
        group = _lowest(other, _lowest(one, group))
    return group


def _lowest(groups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] the lowest value among the rows of each row's group."""
    _, which = np.unique(groups, return_inverse=True)
    lowest = np.full(which.max() + 1, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(lowest, which, values)
    return lowest[which]


def _values(records: Sequence[Record], by: str | None) -> NDArray[np.int64]:
    """[N] a number per value of the column; a row whose value is empty is alone."""
    if by is None:
        return np.arange(len(records))
    place: dict[str, int] = {}
    for record in records:
        if by not in record.meta:
            there = ", ".join(map(str, record.meta)) or "no further column"
            raise RemanenceError(f"Row {record.id!r} has no column {by!r} to split by; it has {there}.")
    return np.array(
        [
            number if r.meta[by] is None else place.setdefault(str(r.meta[by]), number)
            for number, r in enumerate(records)
        ],
        np.int64,
    )


def _side(records: Sequence[Record], wanted: NDArray[np.bool_], group: Group) -> list[Record]:
    return [replace(record, group=group) for record, here in zip(records, wanted.tolist(), strict=True) if here]
