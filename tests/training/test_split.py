"""Rows kept aside: no copy stands on both sides, the seed decides who goes, a column can hold rows together."""

from __future__ import annotations

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.casebook.corpus import private_corpus
from remanence.text.duplicates import contamination
from remanence.training.split import joined, split_rows


def rows(*texts: str, **meta: list[object]) -> list[Record]:
    return [
        Record(str(i), text=text, meta={name: values[i] for name, values in meta.items()})
        for i, text in enumerate(texts)
    ]


def ids(records: list[Record]) -> list[str]:
    return [record.id for record in records]


def test_copies_go_to_the_same_side_and_count_once() -> None:
    """Four rows, two of them the same: half of three distinct rows, rounded, is two."""
    data = rows("an apple a day", "two pears", "An  apple a day", "three plums")
    for seed in range(8):
        split = split_rows(data, 0.5, seed)
        assert split.num_groups == 3
        assert len({r.plain.lower().replace("  ", " ") for r in split.heldout}) == 2
        assert ({"0", "2"} <= set(ids(split.heldout))) or not {"0", "2"} & set(ids(split.heldout))


def test_every_row_is_on_one_side_in_the_order_of_the_data() -> None:
    data = private_corpus(3, num_rows=90, duplicates=(1, 2, 4), num_heldout=1).train
    split = split_rows(data, 0.25, seed=1)
    order = {record.id: place for place, record in enumerate(data)}
    for side, group in ((split.train, "train"), (split.heldout, "heldout")):
        places = [order[record.id] for record in side]
        assert places == sorted(places) and {record.group for record in side} == {group}
    assert sorted(ids(split.train) + ids(split.heldout)) == sorted(ids(data))
    assert not contamination([r.plain for r in split.train], [r.plain for r in split.heldout]).any()


def test_the_seed_decides_and_the_same_seed_decides_the_same() -> None:
    data = rows(*(f"row number {i} of twenty" for i in range(20)))
    picks = {seed: ids(split_rows(data, 0.2, seed).heldout) for seed in range(5)}
    assert all(len(pick) == 4 for pick in picks.values()) and len({tuple(pick) for pick in picks.values()}) > 1
    assert ids(split_rows(data, 0.2, 3).heldout) == picks[3]


def test_rows_of_one_patient_stay_together() -> None:
    data = rows(*(f"note {i} says {i * i}" for i in range(6)), patient=["a", "b", "a", None, "b", None])
    for seed in range(8):
        held = set(ids(split_rows(data, 0.5, seed, by="patient").heldout))
        assert split_rows(data, 0.5, seed, by="patient").num_groups == 4
        assert len(held & {"0", "2"}) != 1 and len(held & {"1", "4"}) != 1


def test_groupings_are_joined_through_chains() -> None:
    import numpy as np

    one, other = np.array([0, 0, 2, 3, 4, 4]), np.array([0, 1, 1, 3, 3, 5])
    assert joined(one, other).tolist() == [0, 0, 0, 3, 3, 3]


def test_at_least_one_row_goes_and_one_stays() -> None:
    data = rows("one", "two", "three")
    assert len(split_rows(data, 0.001, 0).heldout) == 1
    assert len(split_rows(data, 0.999, 0).train) == 1
    assert split_rows(data, 0, 0).heldout == []


def test_copies_alone_cannot_be_split_and_a_missing_column_is_told() -> None:
    with pytest.raises(RemanenceError, match="copies of one another"):
        split_rows(rows("same", "same", " Same "), 0.5, 0)
    with pytest.raises(RemanenceError, match="Row '0' has no column 'patient' to split by; it has day"):
        split_rows(rows("one", "two", day=[1, 2]), 0.5, 0, by="patient")
