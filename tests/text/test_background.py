"""Surprisal of words: probabilities by hand and summed over all words, and with a record left out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.background import GivenBits, NGrams, credited, e_value, near_groups, run_bits
from remanence.text.words import Words, words_of


def batch(texts: list[list[int]]) -> Words:
    """Texts of word numbers."""
    empty = np.zeros(0, np.int32)
    keys = np.array([word + 1 for text in texts for word in text], np.uint64)
    return Words(keys, empty, empty, np.concatenate(([0], np.cumsum([len(t) for t in texts]))).astype(np.int64))


def test_a_word_of_ten_in_a_hundred_is_worth_three_bits():
    words = words_of(["the cat", "the dog", "the cat"])
    model = NGrams.fit(words, order=1)
    # 6 words: the 3, cat 2, dog 1; 1 hapax, so 1 of 7 parts goes to the 2 * 3 + 1 words that might be
    p = model.surprisal_bits(words_of(["the cat dog bird"]))
    expected = [(3 + 1 / 7) / 7, (2 + 1 / 7) / 7, (1 + 1 / 7) / 7, (1 / 7) / 7]
    assert 2.0**-p == pytest.approx(expected)


def test_what_many_records_say_is_worth_little_and_what_one_says_is_worth_what_strangers_would_pay():
    said = ["how may i help you"] * 30
    texts = [f"{phrase} number{i}" for i, phrase in enumerate(said)] + ["zebra quilt violin"] + ["x y", "y x"] * 9
    model = NGrams.fit(words_of(texts), strength=4.0)
    common, rare = words_of(["how may i help you"]), words_of(["zebra quilt violin"])
    assert model.left_out_bits(common)[1:, 3].max() < 1
    nothing_known = model.surprisal_bits(words_of(["never"]))[0]
    assert model.left_out_bits(rare)[:, 3] == pytest.approx(
        [nothing_known] * 3, abs=0.01
    )  # of 189 words one is taken away
    assert model.surprisal_bits(rare)[0] < nothing_known


def test_a_row_that_stands_there_32_times_is_not_common():
    row, other = "my account number is zeta nine four", "the weather was rather fine over the hills"
    words = words_of([row] * 32 + [other])
    groups = near_groups(words)
    assert groups.tolist() == [0] * 32 + [32]
    bits = NGrams.fit(words, groups).left_out_bits(words_of([row]))
    assert bits[:, 3] == pytest.approx(NGrams.fit(words_of([row, other])).left_out_bits(words_of([row]))[:, 3])


texts = st.lists(st.lists(st.integers(0, 3), max_size=7), min_size=1, max_size=6)


@given(texts, st.integers(1, 4), st.floats(0.5, 40), st.lists(st.integers(0, 3), max_size=4))
def test_probabilities_of_all_words_sum_to_one(rows: list[list[int]], order: int, strength: float, before: list[int]):
    words = batch(rows)
    model = NGrams.fit(words, order=order, strength=strength)
    known = sorted({word for row in rows for word in row})
    assert model.vocabulary == len(known)
    asked = batch([[*before, word] for word in [*known, 99]])
    p = 2.0 ** -model.surprisal_bits(asked)[asked.offsets[1:] - 1]
    unseen = len(known) + 1
    assert p[:-1].sum() + unseen * p[-1] == pytest.approx(1.0)


@given(texts, st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(0, 4))
def test_probabilities_sum_to_one_with_a_record_left_out(
    rows: list[list[int]], order: int, matched: list[int], depth: int
):
    """One event is taken away: after the matched words the record goes on with its own next word."""
    words = batch([*rows, matched])
    model = NGrams.fit(words, order=order, strength=3.0)
    known = sorted({word for row in [*rows, matched] for word in row})
    depth = min(depth, order, len(matched))
    before, own = matched[:-1], matched[-1]
    twin = PlainModel([*rows, matched], order, 3.0)
    total = sum(twin.p(before, word, own if depth else None, depth) for word in known)
    total += (len(known) + 1) * twin.p(before, 99, own if depth else None, depth)
    assert total == pytest.approx(1.0)
    bits = model.left_out_bits(batch([matched]))[-1, depth]
    assert 2.0**-bits == pytest.approx(twin.p(before, own, own if depth else None, depth))


class PlainModel:
    """The same model with dictionaries, as the equation reads."""

    def __init__(self, rows: list[list[int]], order: int, strength: float, groups: list[int] | None = None) -> None:
        self.order, self.strength = order, strength
        self.counts: dict[tuple[int, ...], int] = {}
        numbers = groups or list(range(len(rows)))
        led: set[int] = set()
        for row, group in zip(rows, numbers, strict=True):
            for word in row:
                self.counts[word,] = self.counts.get((word,), 0) + (group not in led)
            led.add(group)
        holders: dict[tuple[int, ...], set[int]] = {}
        for row, group in zip(rows, numbers, strict=True):
            for n in range(2, order + 1):
                for i in range(len(row) - n + 1):
                    holders.setdefault(tuple(row[i : i + n]), set()).add(group)
        self.counts |= {gram: len(held) for gram, held in holders.items() if len(held) >= 2}

    def p(self, before: list[int], word: int, own: int | None = None, depth: int = 0) -> float:
        """`own` is the word that the record left out has after the last words, `depth` how many words it shares."""
        singles = [count for gram, count in self.counts.items() if len(gram) == 1]
        p = 1 / (2 * len(singles) + 1)
        for n in range(1, min(self.order, len(before) + 1) + 1):
            history = tuple(before[len(before) - n + 1 :])
            gone = n <= depth and self.counts.get((*history, own or 0), 0) > 0 and own is not None
            after = {g[-1]: c for g, c in self.counts.items() if len(g) == n and g[:-1] == history}
            k = self.strength if n > 1 else max(1, sum(c == 1 for c in singles))
            if n > 1 and not after:
                break
            count = after.get(word, 0) - (gone and word == own)
            p = (count + k * p) / (sum(after.values()) - gone + k)
        return p


@given(texts, st.integers(1, 4), st.data())
def test_the_tables_equal_the_plain_dictionaries(rows: list[list[int]], order: int, data: st.DataObject):
    groups = [data.draw(st.integers(0, 2)) for _ in rows]
    query = data.draw(st.lists(st.integers(0, 4), max_size=8))
    twin = PlainModel(rows, order, 2.5, groups)
    model = NGrams.fit(batch(rows), np.array(groups), order, 2.5)
    bits = model.left_out_bits(batch([[0], query]))[1:]
    for i, word in enumerate(query):
        for r in range(order + 1):
            before = query[:i]
            depth = min(r, i + 1)
            expected = twin.p(before, word, word if depth else None, depth)
            if r <= i + 1:
                assert 2.0 ** -bits[i, r] == pytest.approx(expected)


def test_a_run_is_worth_the_sum_of_its_words_each_in_its_column():
    bits = np.array([[9.0, 1.0, 2.0], [9.0, 4.0, 8.0], [9.0, 16.0, 32.0]])
    assert run_bits(bits, np.array([0, 1, 0]), np.array([3, 2, 0])).tolist() == [1 + 8 + 32, 4 + 32, 0]
    assert credited(bits).max() == 9


def test_e_is_positions_times_positions_over_two_to_the_bits():
    assert e_value(np.array([20.0, 30.0]), 64, 2**20).tolist() == [64.0, 0.0625]


def test_given_bits_are_passed_on_and_must_fit():
    words = words_of(["a b", "c"])
    bits = GivenBits(np.array([1.0, 2.0, 3.0])).left_out_bits(words)
    assert run_bits(bits, np.array([0]), np.array([2])).tolist() == [3.0]
    with pytest.raises(ValueError, match="2 surprisals were given for 3 words"):
        GivenBits(np.zeros(2)).left_out_bits(words)


def test_near_twins_are_one_group_and_strangers_are_not():
    base = [f"word{i}" for i in range(60)]
    twin = [*base[:30], "other", *base[31:]]
    words = words_of([" ".join(base), " ".join(twin), " ".join(f"else{i}" for i in range(60)), "", "", "short one"])
    assert near_groups(words).tolist() == [0, 0, 2, 3, 4, 5]


def test_nothing_at_all_is_a_model_too():
    model = NGrams.fit(words_of([]))
    assert model.surprisal_bits(words_of(["a b"])).tolist() == [0, 0]  # one word is taken to exist, and this is it
    assert model.left_out_bits(words_of([])).shape == (0, 4)


def test_misuse_is_told():
    words = words_of(["a b"])
    with pytest.raises(ValueError, match="order >= 1"):
        NGrams.fit(words, order=0)
    with pytest.raises(ValueError, match="one group, got 2 groups for 1 texts"):
        NGrams.fit(words, np.array([0, 1]))
    assert math.isfinite(NGrams.fit(words).surprisal_bits(words_of(["z"]))[0])
