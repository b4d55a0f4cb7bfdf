"""Words that stand in shared runs, against a plain search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.covered import covered_by_lengths, covered_by_other
from remanence.text.words import words_of


def test_words_that_the_prompt_explains():
    said = words_of(["the cat sat on the mat again", "quite new", "the cat sat"])
    prompts = words_of(["Tell me: the cat sat on what?", "the cat"])
    found = covered_by_other(said, prompts, np.array([0, 1, -1]), 4)
    assert found.tolist() == [True] * 4 + [False] * 3 + [False] * 2 + [False] * 3


def test_lengths_cover_what_follows():
    # Runs of 3 words at word 0 and of 2 at word 3; at least 3 are asked for.
    assert covered_by_lengths(np.array([3, 2, 1, 2, 1, 0]), 3).tolist() == [True] * 3 + [False] * 3
    assert covered_by_lengths(np.array([], np.int32), 3).size == 0


def test_one_other_for_each_text():
    with pytest.raises(ValueError, match="one other text for each of 1 texts, got 2"):
        covered_by_other(words_of(["a"]), words_of(["a"]), np.array([0, 0]), 1)


@given(st.text("ab", max_size=12), st.text("ab", max_size=12), st.integers(1, 4))
def test_as_a_plain_search_says(one: str, other: str, least: int):
    q, c = words_of([" ".join(one)]), words_of([" ".join(other)])
    wanted = [False] * len(one)
    for i in range(len(one)):
        for j in range(i + least, len(one) + 1):
            if one[i:j] in other:
                wanted[i:j] = [True] * (j - i)
    assert covered_by_other(q, c, np.array([0]), least).tolist() == wanted
