"""The first reading of the data: how many rows, which are the same, which held-out rows are not held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.read import record_bytes
from remanence.core.record import Record
from remanence.core.run import Fingerprint
from remanence.engine.columns import MOST, NONE, check_columns, labels
from remanence.engine.rows import DistinctRows, distinct_rows, first_places
from remanence.jobs.audit.row_hashes import RowHashes, among, hash_of, refuse_equal_ids, twins
from remanence.text.duplicates import contamination, duplicate_counts
from remanence.text.spans import normalise

FIRST = 100
"""DistinctRows that are looked at for the columns there are, when one is missing."""


@dataclass(frozen=True)
class Survey:
    """What is known of the rows before a model reads one. Training rows keep 8 bytes each, 12 with near duplicates."""

    num: int
    """Training rows."""
    fingerprint: str
    first_N: NDArray[np.int32]
    """[N] place of the first row that reads the very same; its own for a row that is the first."""
    copies_N: NDArray[np.int32]
    """[N] rows with the same text, itself included."""
    near_N: NDArray[np.int32] | None
    """[N] other rows that are nearly the same; None where that was not counted."""
    heldout: DistinctRows | None
    """The distinct held-out rows."""
    num_heldout: int
    keep_H: NDArray[np.bool_]
    """[distinct held-out rows] True for those that stand nowhere in the training data: the floor."""
    first_held: Sequence[int] = field(default=())
    """[held-out rows] as `first_N`."""

    @cached_property
    def contaminated(self) -> frozenset[int]:
        """Places of the distinct held-out rows that stand in the training data."""
        held = [] if self.heldout is None else self.heldout.places
        return frozenset(place for place, keep in zip(held, self.keep_H.tolist(), strict=True) if not keep)

    @property
    def num_distinct(self) -> int:
        """Distinct training rows."""
        return int((self.first_N == np.arange(self.num)).sum())


def survey(
    train: Iterable[Record],
    heldout: Sequence[Record] | None,
    by: tuple[str, ...],
    together: int,
) -> Survey:
    """Read the training rows once. Held-out rows are held in memory; of the training rows only hashes are.

    Up to `together` training rows their texts are too, and near duplicates are counted. Raises `RemanenceError` for
    bad rows, equal ids, no rows, or a column that tells no groups apart.
    """
    hashes, whole, columns = RowHashes(), Fingerprint(), _Columns(by)
    texts: list[str] = []
    num = 0
    for num, record in enumerate(train, 1):
        hashes.add(record)
        whole.add(record_bytes(record))
        columns.see(record)
        if num <= together:
            texts.append(record.plain)
        else:
            texts.clear()
    if not num:
        raise RemanenceError("There are no training rows to audit: the data is empty.")
    columns.refuse_missing()
    check_columns([], heldout, by)
    refuse_equal_ids(train, hashes.take_ids())
    words = hashes.take_words()
    held = None if heldout is None else distinct_rows("heldout", heldout)
    if len(texts) == num:
        near = np.asarray(duplicate_counts(texts).near, np.int32)
        seen = contamination(texts, [r.plain for r in held.records]) if held else np.zeros(0, np.bool_)
    else:
        near = None
        asked = [] if held is None else [hash_of(normalise(r.plain)) for r in held.records]
        seen = among(np.array(asked, np.uint64), words)
    copies = twins(words)[1]
    del words
    return Survey(
        num=num,
        fingerprint=str(whole),
        first_N=twins(hashes.take_contents())[0],
        copies_N=copies,
        near_N=near,
        heldout=held,
        num_heldout=0 if heldout is None else len(heldout),
        keep_H=~np.asarray(seen, np.bool_),
        first_held=[] if heldout is None else first_places(heldout),
    )


class _Columns:
    """Watches the columns that rates are broken down by, as `columns.check_columns` does, row by row."""

    def __init__(self, by: tuple[str, ...]) -> None:
        self._by = by
        self._values: list[set[str]] = [set() for _ in by]
        self._first: list[Record] = []

    def see(self, record: Record) -> None:
        """One more row. Raises `RemanenceError` for a column of lists, or of more values than groups can have."""
        if not self._by:
            return
        if len(self._first) < FIRST:
            self._first.append(record)
        for column, values, label in zip(self._by, self._values, labels([record], self._by)[0], strict=True):
            if label in values or label == NONE:
                continue
            check_columns([record], None, (column,))
            values.add(label)
            if len(values) > MOST:
                raise RemanenceError(
                    f"--by {column}: the training rows have more than {MOST} values there; "
                    f"name a column of at most {MOST}."
                )

    def refuse_missing(self) -> None:
        """Raise `RemanenceError` for a column that no row has."""
        for column, values in zip(self._by, self._values, strict=True):
            if not values:
                check_columns(self._first, None, (column,))
