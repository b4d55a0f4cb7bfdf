"""Where a row can be cut, and sums over the tokens that follow."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import rendered, said
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import NotMeasured
from remanence.core.target import cut
from remanence.measure.extraction.splits import on_grid, splits, window_sums


def test_window_sums_are_sums_of_neighbours():
    # 1+2, 2+3, 3+4.
    assert window_sums(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist() == [3, 5, 7]


def test_one_impossible_token_makes_exactly_its_windows_impossible():
    # -inf stands at index 2 of 5: windows of two from 1 and from 2 hold it.
    sums = window_sums(np.array([-1.0, -1.0, -np.inf, -1.0, -1.0]), 2)
    assert sums.tolist() == [-2, -np.inf, -np.inf, -2]


@given(st.lists(st.sampled_from([0.0, -1.0, -0.25, -np.inf]), min_size=1, max_size=12), st.integers(1, 14))
def test_window_sums_agree_with_adding_up_and_are_never_nan(values: list[float], size: int):
    expected = [sum(values[i : i + size]) for i in range(len(values) - size + 1)]
    assert window_sums(np.array(values), size).tolist() == expected


def test_a_row_is_cut_wherever_enough_tokens_follow():
    # Row g|abcd (g given, nothing predicts it). Two tokens must come back: cuts before a, b and c.
    split = splits(said([1, 1, 1, 1]), 2)
    assert split.prefix_S.tolist() == [0, 1, 2] and split.at_S.tolist() == [1, 2, 3]


def test_an_encoder_decoder_is_also_cut_before_its_first_token():
    split = splits(said([1, 1, 1], seq2seq=True), 2)
    assert split.prefix_S.tolist() == [0, 1] and split.at_S.tolist() == [0, 1]


def test_windows_that_cross_a_token_without_loss_are_no_cuts():
    # A chat: g|ab?cd, the ? of the user carries no loss. Pairs: ab at 0, cd at 3; b? and ?c are no answers.
    split = splits(said([1, 1, 1, 1, 1], supervised=[1, 1, 0, 1, 1]), 2)
    assert split.prefix_S.tolist() == [0, 3]


def test_a_prompt_in_front_is_always_given():
    # g?|ab: the cut "after no token" stands behind the question.
    split = splits(said([0, 1, 1], supervised=[0, 1, 1]), 2)
    assert split.prefix_S.tolist() == [0] and split.at_S.tolist() == [2]


@given(st.lists(st.booleans(), min_size=1, max_size=14), st.integers(1, 6), st.booleans())
def test_splits_and_cut_agree_on_every_row(supervised: list[bool], new_tokens: int, seq2seq: bool):
    row = said([1] * len(supervised), supervised=[int(s) for s in supervised], seq2seq=seq2seq)
    try:
        possible = set(splits(row, new_tokens).prefix_S.tolist())
    except NotMeasured:
        possible = set()
    for prefix in range(len(supervised) + 2):
        try:
            prompt = cut(row.rendered, "r", prefix, new_tokens)
        except NotMeasured:
            prompt = None
        assert (prompt is not None) == (prefix in possible)


@pytest.mark.parametrize("size", [1, 2])
def test_a_row_too_short_is_not_measured(size: int):
    with pytest.raises(NotMeasured, match="fewer than 3 tokens"):
        splits(said([1] * size), 3)


def test_a_grid_of_lengths_that_do_not_fit_is_not_measured():
    split = splits(said([1, 1, 1]), 2)
    assert on_grid(split, (0, 1, 99)) == {0: 0, 1: 1}
    with pytest.raises(NotMeasured, match="8, 16"):
        on_grid(split, (8, 16))


def test_a_row_without_loss_is_not_cut():
    with pytest.raises(NotMeasured, match="no token carries loss"):
        cut(rendered([0, 0, 0]), "r", 0, 1)
