"""Two counts per row answer every budget of tokens: they must say what `Discoverable` says, budget by budget."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import said, token_row
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import NotMeasured
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.reach import Reach, reach, stretches


def test_a_stretch_counts_the_flags_in_a_row_from_each_place():
    assert stretches(np.array([True, True, False, True])).tolist() == [2, 1, 0, 1]


def test_a_row_comes_back_at_a_budget_that_its_longest_run_covers():
    # Seven tokens, right from the third to the fifth. After 2 given ones: 3 right, 5 left. After 0: none right, 7 left.
    row = said([0, 0, 1, 1, 1, 0, 1])
    assert reach(row, (0, 2)) == Reach(run=3, room=7)
    assert [reach(row, (0, 2)).within(n) for n in (1, 3, 4, 7, 8)] == [True, True, False, False, None]
    assert reach(row, (0,)).within(3) is False, "at the start of the row the first token is already wrong"


def test_a_short_answer_is_not_measurable_rather_than_not_coming_back():
    assert reach(said([1, 1, 1]), (0,)).within(6) is None


def test_a_prefix_beyond_the_row_gives_no_room():
    assert reach(said([1, 1]), (2, 30)) == Reach(0, 0)


def test_the_reach_ends_where_tokens_carry_no_loss():
    # Two turns of a chat: from the first token that carries loss on, two do; after three, one of the second turn.
    row = said([1, 1, 1, 1], supervised=[1, 1, 0, 1])
    assert reach(row, (0,)) == Reach(2, 2)
    assert reach(row, (3,)) == Reach(1, 1)


def test_a_row_without_loss_or_with_nan_is_not_measured():
    with pytest.raises(NotMeasured, match="no token carries loss"):
        reach(said([1, 1], supervised=[0, 0]), (0,))
    with pytest.raises(NotMeasured, match="NaN"):
        reach(token_row({"gap": [np.nan, 1.0], "rank": [0, 0]}), (0,))


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=24),
    st.sets(st.integers(0, 12), min_size=1, max_size=4),
    st.booleans(),
)
def test_every_budget_agrees_with_discoverable(tokens: list[tuple[bool, bool]], grid: set[int], seq2seq: bool):
    row = said([hit for hit, _ in tokens], supervised=[int(loss) for _, loss in tokens], seq2seq=seq2seq)
    prefixes = tuple(sorted(grid))
    for budget in range(1, len(tokens) + 3):
        try:
            expected = Discoverable(prefixes, budget).score(row).value == 1
        except NotMeasured:
            expected = None
        try:
            found = reach(row, prefixes).within(budget)
        except NotMeasured:
            found = None
        assert found == expected, budget
