"""Held-out texts cut to length, and how much of each stands in one training record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.chain import Seeds, seeds_of
from remanence.text.nulls import RUN, contained, first_words, pieces_of, windows
from remanence.text.run_index import RunIndex
from remanence.text.words import Words, words_of


def listed(words: Words) -> list[list[int]]:
    return [
        words.keys[a:b].tolist() for a, b in zip(words.offsets[:-1].tolist(), words.offsets[1:].tolist(), strict=True)
    ]


def number(count: int, start: int = 0) -> str:
    return " ".join(f"w{i}" for i in range(start, start + count))


def share(held: list[str], train: list[str]) -> list[float]:
    """Through the index, as the detector does it."""
    words, corpus = words_of(held), words_of(train)
    index = RunIndex.build(train)
    runs = index.runs(words, RUN)
    return contained(words, corpus, seeds_of(words, corpus, runs, index.places(words, runs, None))).tolist()


def test_half_of_a_text_in_one_record_is_half_contained():
    # 14 words have 10 runs of 5 words; the record shares 9 words in a row: 5 of those runs
    assert share([number(9) + " " + number(5, 50)], [number(9), number(3, 50)]) == [0.5]


def test_two_records_that_hold_a_half_each_hold_a_half():
    assert share([number(24)], [number(12), number(12, 12)]) == [pytest.approx(8 / 20)]


def test_overlapping_runs_of_one_record_count_once():
    record = f"{number(8)} x {number(8, 3)}"  # w0..w7 and w3..w10: the text has 7 runs of 5 words, all there
    assert share([number(11)], [record]) == [1.0]


def test_short_and_empty_texts_are_not_contained():
    assert share(["w0 w1", "", number(5)], [number(9)]) == [0.0, 0.0, 1.0]
    nothing = Seeds(*np.zeros((4, 0), np.int64))
    assert contained(words_of(["a", ""]), words_of([]), nothing).tolist() == [0, 0]


@given(st.lists(st.text("ab", max_size=14), max_size=4), st.lists(st.text("ab", max_size=14), max_size=4))
def test_containment_equals_counting_runs_of_five(held: list[str], train: list[str]):
    held, train = [" ".join(text) for text in held], [" ".join(text) for text in train]

    def fives(text: str) -> list[tuple[str, ...]]:
        words = text.split()
        return [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]

    words, corpus = words_of(held), words_of(train)
    rows = [
        (t, words.offsets[t] + i, corpus.offsets[d] + j, RUN)
        for t, text in enumerate(held)
        for i, run in enumerate(fives(text))
        for d, record in enumerate(train)
        for j, other in enumerate(fives(record))
        if run == other
    ]
    found = contained(words, corpus, Seeds(*np.array(rows, np.int64).reshape(-1, 4).T))
    for text, got in zip(held, found.tolist(), strict=True):
        runs = fives(text)
        best = max((sum(run in fives(record) for run in runs) for record in train), default=0)
        assert got == pytest.approx(best / len(runs) if runs else 0.0)


def test_windows_drop_the_rest_but_keep_short_texts():
    words = words_of(["a b c d e", "f", "", "g h"])
    cut, texts = windows(words, 2)
    assert texts.tolist() == [0, 0, 1, 3]
    assert listed(cut) == listed(words_of(["a b", "c d", "f", "g h"]))
    assert cut.starts.tolist() == [0, 2, 4, 6, 0, 0, 2]  # characters of the whole text


def test_first_words_cuts_every_text():
    assert listed(first_words(words_of(["a b c", "d", ""]), 2)) == listed(words_of(["a b", "d", ""]))


def test_a_piece_stays_inside_its_text():
    words = words_of(["a b", "c d"])
    with pytest.raises(ValueError, match="inside its text"):
        pieces_of(words, np.array([0]), np.array([1]), np.array([2]))
