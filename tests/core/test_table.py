"""Which tokens of a row count, and what a row says when none does."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.core.table import Rendered, TokenRow


def rendered(supervised: list[int], *, source: bool = False, cut: int = 0, cut_loss: int = 0) -> Rendered:
    ids = np.arange(len(supervised), dtype=np.int32)
    return Rendered(ids, np.array(supervised, bool), ids if source else None, cut, cut_loss)


def test_the_first_token_of_a_decoder_only_row_is_not_scored():
    # abc, all learned: nothing stands before a, so b and c are scored and the row is cut from b on.
    row = rendered([1, 1, 1])
    assert row.scored.tolist() == [False, True, True] and (row.first, row.start) == (1, 1)
    assert row.supervised.tolist() == [True, True, True]  # asking changes nothing


def test_an_encoder_decoder_scores_its_first_token():
    row = rendered([1, 1, 1], source=True)
    assert row.scored.all() and (row.first, row.start) == (0, 0)


def test_the_start_is_the_first_token_of_the_completion():
    assert rendered([0, 0, 1, 1]).start == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (rendered([]), "the row is empty"),
        (rendered([0, 0]), "no token carries loss"),
        (rendered([0, 0], cut=3, cut_loss=3), "truncation cut every token"),
        (rendered([1]), "a single token"),
        (rendered([], cut=2, cut_loss=2), "truncation cut every token"),
    ],
)
def test_a_row_without_scored_tokens_says_why(row: Rendered, reason: str):
    with pytest.raises(NotMeasured, match=reason):
        _ = row.start


def test_values_are_those_of_the_scored_tokens_in_float64():
    row = TokenRow(rendered([0, 1, 0, 1]), {"logprob": np.array([np.nan, -1, np.nan, -3], np.float32)})
    assert row.scored("logprob").tolist() == [-1, -3] and row.scored("logprob").dtype == np.float64


def test_nan_where_a_token_counts_is_a_reason():
    row = TokenRow(rendered([0, 1, 1]), {"logprob": np.array([np.nan, np.nan, -3], np.float32)})
    with pytest.raises(NotMeasured, match="NaN for 1 of 2 tokens"):
        row.scored("logprob")


def test_minus_infinity_is_a_value():
    row = TokenRow(rendered([0, 1]), {"logprob": np.array([np.nan, -np.inf], np.float32)})
    assert row.scored("logprob").tolist() == [-np.inf]


def test_hits_are_first_choices_that_carry_loss():
    row = TokenRow(rendered([0, 1, 0, 1, 1]), {"rank": np.array([0, 0, 0, 2, 0], np.int32)})
    assert row.hits().tolist() == [False, True, False, False, True]


def test_a_position_that_was_not_scored_is_no_hit():
    row = TokenRow(rendered([1, 1]), {"rank": np.array([-1, -1], np.int32)})
    assert not row.hits().any()
