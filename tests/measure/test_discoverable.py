"""Greedy extraction at every cut, and extraction strength, on rows of three to six tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made import said, token_row
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.record import Record
from remanence.measure.extraction.discoverable import Discoverable, greedy_hits, longest_run
from remanence.measure.extraction.extraction_strength import ExtractionStrength, extraction_strength
from remanence.models.parrot import Parrot

HITS = st.lists(st.booleans(), min_size=1, max_size=14)


def test_two_tokens_come_back_where_both_are_said():
    # Tokens said: yes yes no yes yes. Pairs from 0: yes; from 1: no; from 2: no; from 3: yes.
    found = Discoverable((0, 1, 2, 3), new_tokens=2).score(said([1, 1, 0, 1, 1]))
    assert found.value == 1
    assert found.evidence["at"] == {0: True, 1: False, 2: False, 3: True}
    assert (found.evidence["splits"], found.evidence["hits"], found.evidence["run"]) == (4, 2, 2)


def test_the_verdict_counts_the_grid_only():
    # The same row, asked at prefix length 1 only: it does not come back, though it does from 0 and from 3.
    found = Discoverable((1,), new_tokens=2).score(said([1, 1, 0, 1, 1]))
    assert found.value == 0 and found.evidence["hits"] == 2


def test_the_narrowest_gap_of_a_window_is_kept():
    # Gaps 3, 0.5, -2, 4: the pair from 0 hangs on 0.5, the pair from 2 is lost by 2.
    row = token_row({"rank": [0, 0, 1, 0], "gap": [3.0, 0.5, -2.0, 4.0]})
    assert Discoverable((0, 2), new_tokens=2).score(row).evidence["gap"] == {0: 0.5, 2: -2.0}


def test_a_tie_is_decided_by_rank_and_shows_a_gap_of_zero():
    # The first of two equal logits is said: rank 0 with gap 0 is a hit, rank 1 with gap 0 is none.
    first, second = token_row({"rank": [0], "gap": [0.0]}), token_row({"rank": [1], "gap": [0.0]})
    measure = Discoverable((0,), new_tokens=1)
    assert measure.score(first).value == 1 and measure.score(second).value == 0
    assert measure.score(second).evidence["gap"] == {0: 0.0}


def test_extraction_strength_is_the_share_that_need_not_be_shown():
    # yes no yes yes: from two tokens on (g|ab) the rest cd comes back: 2 of 4 tokens, strength 1/2.
    found = ExtractionStrength().score(said([1, 0, 1, 1]))
    assert found.value == 0.5 and found.evidence == {"tail": 2, "tokens": 4}


def test_extraction_strength_goes_from_nothing_to_all():
    assert ExtractionStrength().score(said([1, 1, 0])).value == 0
    assert ExtractionStrength().score(said([1, 1, 1])).value == 1


def test_extraction_strength_leaves_out_what_carries_no_loss():
    # A chat: ab?cd with the ? of the user wrong, which does not matter: it is always given.
    assert ExtractionStrength().score(said([1, 1, 0, 1, 1], supervised=[1, 1, 0, 1, 1])).value == 1


def test_a_token_that_carries_no_loss_is_never_a_hit():
    # The model would also say the ?, but a window over it is no answer: only the pair cd can be asked for.
    found = Discoverable((0, 1, 2), new_tokens=2).score(said([1, 1, 1, 1], supervised=[1, 0, 1, 1]))
    assert found.evidence["at"] == {2: True} and found.evidence["run"] == 2


@given(HITS)
def test_extraction_strength_agrees_with_trying_every_length(hits: list[bool]):
    shortest = min(k for k in range(len(hits) + 1) if all(hits[k:]))
    assert extraction_strength(np.array(hits)) == 1 - shortest / len(hits)


@given(HITS)
def test_the_longest_run_agrees_with_splitting_a_string(hits: list[bool]):
    assert longest_run(np.array(hits)) == max(map(len, "".join("x" if h else " " for h in hits).split(" ")))


@given(HITS, st.integers(1, 15))
def test_greedy_hits_agree_with_looking_at_each_window(hits: list[bool], size: int):
    expected = [all(hits[i : i + size]) for i in range(len(hits) - size + 1)]
    assert greedy_hits(np.array(hits), size).tolist() == expected


def test_parrot_gives_back_what_it_was_told_and_nothing_else():
    told, other = Record("told", text="the cat sat on the mat"), Record("other", text="the dog ran off with the cat")
    parrot = Parrot((told,))
    seen, unseen = Discoverable((0, 4, 8), new_tokens=6)(parrot, [told, other])
    assert (seen.score, unseen.score) == (1, 0)
    assert seen.evidence["hits"] == seen.evidence["splits"] and unseen.evidence["hits"] == 0
    assert [f.score for f in ExtractionStrength()(parrot, [told, other])] == [1, 0]


def test_the_question_of_a_pair_is_given_and_does_not_count():
    told = Record("told", prompt="who called? ", completion="Anna")
    finding = Discoverable((0, 1), new_tokens=4)(Parrot((told,)), [told])[0]
    # Anna and the end: five tokens; four of them fit from 0 and from 1.
    assert finding.score == 1 and finding.evidence["splits"] == 2


@pytest.mark.parametrize("measure", [Discoverable((0,), 1), ExtractionStrength()], ids=lambda m: m.name)
def test_nan_is_a_reason(measure: Discoverable | ExtractionStrength):
    finding = measure.find("r", token_row({"rank": [0, -1], "gap": [1.0, np.nan]}))
    assert finding.score is None and finding.reason is not None and "NaN for 1 of 2" in finding.reason


def test_short_rows_leave_with_a_reason():
    short = Discoverable((0,), new_tokens=3).find("r", said([1, 1]))
    assert short.score is None and short.reason == "fewer than 3 tokens in a row carry loss"
    beyond = Discoverable((8, 16), new_tokens=1).find("r", said([1, 1]))
    assert beyond.score is None and beyond.reason is not None and beyond.reason.startswith("too short")
    assert ExtractionStrength().score(said([1])).value == 1
