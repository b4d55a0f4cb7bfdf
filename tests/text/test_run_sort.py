"""The order of suffixes and the counts of rows, by hand and against sorting and counting in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.run_sort import repeats_before, suffix_order


def test_order_and_rows_by_hand():
    # rows "2 1 2", "1 2", "2": suffixes are 2 1 2 | 1 2 | 2, 1 2 | 2, and 2
    text = np.array([2, 1, 2, 0, 1, 2, 0, 2, 0], np.int32)
    order = suffix_order(text)
    assert order.tolist() == [1, 4, 2, 5, 7, 0]  # both "1 2" in the order of their rows, then all "2", then "2 1 2"
    repeats = repeats_before(text, order)
    assert 2 - (repeats[1] - repeats[0]) == 2  # "1 2" stands twice, in two rows
    assert 4 - (repeats[5] - repeats[2]) == 3  # "2" four times, in three rows


@given(st.lists(st.lists(st.integers(1, 3), max_size=14), max_size=7), st.sampled_from([1, 1_000_000_000]))
def test_equal_to_plain_sorting_and_counting(rows, largest):
    # a large number leaves room for two words only in a packed key
    rows = [[largest if word == 3 else word for word in row] for row in rows]
    text = np.array([word for row in rows for word in (*row, 0)], np.int32)
    places, begin = {}, 0
    for number, row in enumerate(rows):
        for i in range(len(row)):
            places[begin + i] = (row[i:], number)
        begin += len(row) + 1
    expected = sorted(places, key=lambda at: (*places[at][0], 0, places[at][1]))
    order = suffix_order(text)
    assert order.tolist() == expected
    repeats = repeats_before(text, order) if order.size else order
    for run in {tuple(suffix[:n]) for suffix, _ in places.values() for n in range(1, len(suffix) + 1)}:
        slots = [s for s, at in enumerate(expected) if tuple(places[at][0][: len(run)]) == run]
        assert slots == list(range(slots[0], slots[-1] + 1))
        held = len({places[expected[s]][1] for s in slots})
        assert len(slots) - (repeats[slots[-1]] - repeats[slots[0]]) == held
