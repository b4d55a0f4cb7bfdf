"""Plagdet by hand, and against sets of characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.stats.plagdet import Passages, Plagdet, plagdet

CASE = Passages(0, 10, 100, 130)


def slow_plagdet(cases: list[list[Passages]], detections: list[list[Passages]]) -> Plagdet:
    """The definition: passages are sets of characters."""
    rec, prec, gran = [], [], []

    def chars(p: Passages) -> set[tuple[str, int]]:
        return {("susp", i) for i in range(*p[:2])} | {("src", i) for i in range(*p[2:])}

    def detects(r: Passages, s: Passages) -> bool:
        return {side for side, _ in chars(r) & chars(s)} == {"susp", "src"}

    for true, found in zip(cases, detections, strict=True):
        for s in true:
            hits = [r for r in found if detects(r, s)]
            rec.append(len(set().union(*(chars(s) & chars(r) for r in hits))) / len(chars(s)))
            gran += [len(hits)] if hits else []
        for r in found:
            hits = [s for s in true if detects(r, s)]
            prec.append(len(set().union(*(chars(s) & chars(r) for s in hits))) / len(chars(r)))
    p, r = (sum(x) / len(x) if x else 0.0 for x in (prec, rec))
    g = sum(gran) / len(gran) if gran else 1.0
    return Plagdet(2 * p * r / (p + r) / math.log2(1 + g) if p + r else 0.0, p, r, g, len(rec), len(prec))


def test_half_a_passage_found_in_two_pieces():
    # The case has 10 + 30 = 40 characters. Two pieces cover 2 + 5 and 3 + 10 of them: recall 20 / 40. Both lie wholly
    # inside: precision 1. One case, two pieces: granularity 2. F1 = 2/3, divided by log2(3).
    found = [Passages(0, 2, 100, 105), Passages(5, 8, 110, 120)]
    assert plagdet([[CASE]], [found]) == Plagdet(2 / 3 / math.log2(3), 1.0, 0.5, 2.0, 1, 2)


def test_a_perfect_answer_scores_one():
    assert plagdet([[CASE], []], [[CASE], []]) == Plagdet(1.0, 1.0, 1.0, 1.0, 1, 1)


def test_the_right_words_beside_the_wrong_source_count_for_nothing():
    assert plagdet([[CASE]], [[Passages(0, 10, 0, 30)]]).plagdet == 0.0


def test_touching_is_not_overlapping():
    assert plagdet([[CASE]], [[Passages(10, 20, 100, 130)]]).recall == 0.0


def test_every_case_counts_the_same_whatever_its_length():
    long = Passages(0, 1000, 0, 1000)
    assert plagdet([[long], [CASE]], [[long], []]).recall == 0.5


def test_a_false_alarm_costs_precision():
    scores = plagdet([[CASE], []], [[CASE], [CASE]])
    assert scores == Plagdet(2 / 3, 0.5, 1.0, 1.0, 1, 2)


def test_nothing_found_is_zero_and_whole():
    assert plagdet([[CASE]], [[]]) == Plagdet(0.0, 0.0, 0.0, 1.0, 1, 0)
    assert plagdet([], []) == Plagdet(0.0, 0.0, 0.0, 1.0, 0, 0)


def test_the_same_pairs_on_both_sides():
    with pytest.raises(ValueError, match="same pairs, got 1 and 2"):
        plagdet([[]], [[], []])


SPAN = st.tuples(st.integers(0, 12), st.integers(1, 6))
PASSAGE = st.builds(lambda a, b: Passages(a[0], sum(a), b[0], sum(b)), SPAN, SPAN)


@given(st.lists(st.tuples(st.lists(PASSAGE, max_size=3), st.lists(PASSAGE, max_size=3)), max_size=3))
def test_the_same_as_with_sets_of_characters(pairs: list[tuple[list[Passages], list[Passages]]]):
    cases, found = [p[0] for p in pairs], [p[1] for p in pairs]
    assert plagdet(cases, found) == pytest.approx(slow_plagdet(cases, found))
