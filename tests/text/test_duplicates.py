"""Duplicates against Jaccard computed plainly over all pairs, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.text.duplicates import contamination, duplicate_counts, twin_groups
from remanence.text.spans import normalise

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def spaceless(words: list[str]) -> bool:
    return len(words) == 1 or sum(map(len, words)) > 20 * len(words)


def slow_near(one: str, other: str) -> bool:
    """The plain twin: the definition, pair by pair, on sets of strings."""
    a, b = normalise(one), normalise(other)
    words_a, words_b = a.split(), b.split()
    if a == b or not a or not b or spaceless(words_a) != spaceless(words_b):
        return False
    if spaceless(words_a):
        units_a, units_b, n = list(a), list(b), 8
    else:
        units_a, units_b, n = words_a, words_b, 3 if min(len(words_a), len(words_b)) < 12 else 5
    sets = [{tuple(u[i : i + n]) for i in range(max(1, len(u) - n + 1))} for u in (units_a, units_b)]
    return 10 * len(sets[0] & sets[1]) >= 8 * len(sets[0] | sets[1])


def slow_counts(texts: list[str]) -> tuple[list[int], list[int]]:
    exact = [sum(normalise(other) == normalise(text) for other in texts) for text in texts]
    return exact, [sum(slow_near(text, other) for other in texts) for text in texts]


def varied(n: int, length: int, seed: int) -> list[str]:
    """Families of texts: each is one of a few originals with up to three words at the ends or inside replaced."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(400)])
    originals = [rng.choice(words, length) for _ in range(max(1, n // 8))]
    texts: list[str] = []
    for _ in range(n):
        text = originals[int(rng.integers(len(originals)))].copy()
        for at in rng.choice([0, 1, length // 2, length - 2, length - 1], int(rng.integers(0, 4))):
            text[at] = rng.choice(words)
        texts.append(" ".join(text[: length - int(rng.integers(0, 2))]))
    return texts


def test_identical_rows_are_counted_with_themselves_and_case_is_forgotten():
    found = duplicate_counts(["A visit on Monday.", "a  visit on monday.", "Something else entirely"])
    assert found.exact.tolist() == [2, 2, 1]
    assert found.near.tolist() == [0, 0, 0]


def test_one_changed_word_at_the_end_of_a_long_row_is_near():
    # 20 words have 16 runs of five; the last word stands in one of them: 15 shared of 17, Jaccard 0.88.
    words = [f"w{i}" for i in range(20)]
    texts = [" ".join(words), " ".join([*words[:-1], "other"]), " ".join(words)]
    found = duplicate_counts(texts)
    assert found.exact.tolist() == [2, 1, 2]
    assert found.near.tolist() == [1, 2, 1]


def test_one_changed_word_in_the_middle_is_not():
    # It stands in five runs: 11 shared of 21, Jaccard 0.52.
    words = [f"w{i}" for i in range(20)]
    assert duplicate_counts([" ".join(words), " ".join([*words[:10], "x", *words[11:]])]).near.tolist() == [0, 0]


def test_exactly_four_fifths_is_near():
    # 12 words, 8 runs of five, against the same with two words more: 8 shared of 10.
    words = [f"w{i}" for i in range(14)]
    assert duplicate_counts([" ".join(words[:12]), " ".join(words)]).near.tolist() == [1, 1]
    assert duplicate_counts([" ".join(words[:12]), " ".join([*words, "x"])]).near.tolist() == [0, 0]


def test_a_short_row_and_a_longer_one_are_compared_by_runs_of_three():
    # 11 and 12 words: 9 runs of three, all among the other's 10.
    words = [f"w{i}" for i in range(12)]
    assert duplicate_counts([" ".join(words[:11]), " ".join(words)]).near.tolist() == [1, 1]


def test_texts_without_spaces_are_compared_by_characters():
    # 60 different signs, one more at the end: 53 shared of 54 runs of eight.
    text = "".join(chr(0x4E00 + i) for i in range(60))
    assert duplicate_counts([text, text + "字", text[::-1]]).near.tolist() == [1, 1, 0]


@pytest.mark.parametrize(("length", "seed"), [(60, 0), (25, 1), (13, 2), (12, 3), (11, 4), (6, 5), (3, 6)])
def test_counts_agree_with_the_slow_twin(length: int, seed: int):
    texts = varied(120, length, seed)
    exact, near = slow_counts(texts)
    found = duplicate_counts(texts)
    assert found.exact.tolist() == exact
    assert found.near.tolist() == near


@given(st.lists(st.text(alphabet="ab ", max_size=30), max_size=8))
def test_counts_agree_with_the_slow_twin_on_odd_texts(texts: list[str]):
    found = duplicate_counts(texts)
    assert (found.exact.tolist(), found.near.tolist()) == slow_counts(texts)


def test_the_order_of_the_rows_changes_nothing():
    texts = varied(100, 30, 7)
    forward, backward = duplicate_counts(texts), duplicate_counts(texts[::-1])
    assert forward.exact.tolist() == backward.exact[::-1].tolist()
    assert forward.near.tolist() == backward.near[::-1].tolist()


def test_empty_rows_and_single_signs_do_not_crash():
    found = duplicate_counts(["", " ", "🙂", "🙂", "\ud800", "שלום"])
    assert found.exact.tolist() == [2, 2, 2, 2, 1, 1]
    assert not found.near.any()
    assert duplicate_counts([]).exact.shape == (0,)


def test_a_held_out_row_with_a_twin_in_training_is_contaminated():
    words = [f"w{i}" for i in range(30)]
    train = [" ".join(words), "the cat sat on the mat"]
    heldout = [" ".join([*words[:-1], "changed"]), "The cat sat on the MAT", "nothing of the kind", ""]
    assert contamination(train, heldout).tolist() == [True, True, False, False]


@pytest.mark.parametrize("length", [30, 12, 8])
def test_contamination_agrees_with_the_slow_twin(length: int):
    texts = varied(120, length, 20 + length)
    train, heldout = texts[:70], texts[70:]
    expected = [any(normalise(t) == normalise(h) or slow_near(t, h) for t in train) for h in heldout]
    assert contamination(train, heldout).tolist() == expected
    assert not contamination([], heldout).any()
    assert contamination(train, []).shape == (0,)


def test_duplicates_among_held_out_rows_alone_are_no_contamination():
    assert not contamination(["one two three four"], ["five six seven eight"] * 2).any()


def test_groups_join_copies_and_chains_of_near_duplicates() -> None:
    words = [f"word{i}" for i in range(40)]
    near = [" ".join([*words[:-1], last]) for last in ("word39", "other", "third")]
    texts = ["something else altogether", near[0], "Something  else altogether", near[1], "", near[2], "quite new"]
    assert twin_groups(texts).tolist() == [0, 1, 0, 1, 4, 1, 6]


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_a_split_that_keeps_groups_whole_has_no_contamination(seed: int) -> None:
    texts = varied(60, 30, seed)
    groups = twin_groups(texts)
    rng = np.random.default_rng(seed)
    aside = np.isin(groups, rng.permutation(np.unique(groups))[: max(1, np.unique(groups).size // 3)])
    train = [text for text, held in zip(texts, aside, strict=True) if not held]
    heldout = [text for text, held in zip(texts, aside, strict=True) if held]
    assert not contamination(train, heldout).any()
    first = {group: place for place, group in reversed(list(enumerate(groups.tolist())))}
    assert all(group == place for group, place in first.items()), "a group is called by the place of its first row"
