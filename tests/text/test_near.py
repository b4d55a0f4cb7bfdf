"""Similarities of near copies, against numbers worked by hand and a slow twin."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.near import approx_memorized, bleu4, edit_distance, lev_similarity


def test_bleu_by_hand():
    # "the cat sat on the mat" vs "the cat sat on a mat": 5/6 words, 3/5 pairs, 2/4 triples, 1/3 of length 4
    hand = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu4("the cat sat on the mat", "the cat sat on a mat") == pytest.approx(hand)
    smooth = (5 / 6 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert bleu4("the cat sat on the mat", "the cat sat on a mat", "add-one") == pytest.approx(smooth)


def test_bleu_clips_repeated_words():
    # the known example: seven times "the" may count at most twice
    assert bleu4("the the the the the the the", "the cat is on the mat", "add-one") == pytest.approx(
        (2 / 7 * 1 / 7 * 1 / 6 * 1 / 5) ** 0.25
    )
    assert bleu4("the the the the the the the", "the cat is on the mat") == 0


def test_bleu_punishes_brevity():
    assert bleu4([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8]) == pytest.approx(math.exp(-1))
    assert bleu4([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]) == 1


def test_bleu_of_nothing():
    assert bleu4("", "") == 1 and bleu4("", "a") == 0 and bleu4("a", "") == 0
    assert bleu4("a b c", "a b c") == 0  # no 4-gram to share: unsmoothed BLEU cannot judge so short a text


def test_one_edit_in_twenty_is_approximately_memorized():
    text = [f"w{i}" for i in range(20)]
    edited = [*text[:10], "other", *text[11:]]
    assert approx_memorized(edited, text) and not approx_memorized(text[::-1], text)


def test_edits_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert lev_similarity("kitten", "sitting") == pytest.approx(4 / 7)
    assert edit_distance([1, 2, 3], [2, 3]) == 1
    assert lev_similarity("", "") == 1 and lev_similarity("", "ab") == 0 and edit_distance("ab", "") == 2


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_fast_distance_equals_slow_twin(a, b):
    assert edit_distance(a, b) == slow_distance(a, b) == edit_distance(b, a)
