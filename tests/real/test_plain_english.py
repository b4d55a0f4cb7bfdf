"""The passages that the plain-English encoder-decoder learns: what is cut out is what must be written."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from plain_english import LIMIT, filling_pair, prefix_pair, unigram_loss
from train_seq2seq_base import Pair, continued

END, GAP = 2, 4


def test_prompt_and_completion_are_cut_anew_and_nothing_is_lost() -> None:
    cut = continued(Pair([5, 6, END], [7, 8, END]), random.Random(0))
    assert cut.source[-1] == cut.target[-1] == END
    assert cut.source[:-1] + cut.target[:-1] == [5, 6, 7, 8]


@pytest.mark.parametrize("size", [30, 200, 900])
def test_a_prefix_and_its_target_stand_side_by_side_in_the_passage(size: int) -> None:
    passage, rng = [*range(10, 10 + size), END], random.Random(0)
    ends = 0
    for _ in range(200):
        source, target = prefix_pair(passage, rng)
        assert source[-1] == END and 0 < len(target) <= LIMIT and len(source) <= LIMIT
        joined = source[:-1] + target
        ends += target[-1] == END
        assert passage[passage.index(joined[0]) :][: len(joined)] == joined
    assert ends > 0 if size < LIMIT else ends < 200, "the end mark is learned only where the passage ends"


def test_the_gap_filled_gives_the_window_again() -> None:
    passage, rng = [*range(10, 300), END], random.Random(1)
    for _ in range(200):
        source, target = filling_pair(passage, GAP, rng)
        at = source.index(GAP)
        window = source[:at] + target[:-1] + source[at + 1 : -1]
        assert source[-1] == target[-1] == END
        assert window == list(range(window[0], window[0] + len(window)))


def test_token_counts_with_one_added_to_each_of_512() -> None:
    """Seen 3 times of 4: probability (3 + 1) / (4 + 512)."""
    pairs = [Pair([], [7, 7, 7, 8])]
    assert unigram_loss(pairs, [Pair([], [7])]) == pytest.approx(-math.log(4 / 516))
