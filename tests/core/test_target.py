"""Prompts are cut on the ids of the full row."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.core.target import Generates, Opens, Scores, Target, cut
from remanence.models.parrot import Parrot


def row(supervised: str, *, source: bool = False) -> Rendered:
    """`?` stands for a token without loss, `x` for one with; ids 10, 11, ..."""
    ids = np.arange(10, 10 + len(supervised), dtype=np.int32)
    return Rendered(ids, np.array([c == "x" for c in supervised]), np.array([3], np.int32) if source else None)


def test_a_prompt_and_what_comes_next():
    # 10 11 | 12 13 | 14: the header token 10 is given, 11 too (one token that carries loss), two are to come back.
    prompt = cut(row("?xxxx"), "r", 1, 2)
    assert prompt is not None and prompt.rest is not None
    assert (prompt.ids.tolist(), prompt.expected.tolist(), prompt.rest.tolist()) == ([10, 11], [12, 13], [12, 13, 14])
    assert (prompt.record_id, prompt.prefix_tokens) == ("r", 1)


def test_prompt_and_rest_are_the_row():
    whole = row("??xxxxxx")
    for prefix in range(4):
        prompt = cut(whole, "r", prefix, 3)
        assert prompt is not None and prompt.rest is not None
        assert [*prompt.ids, *prompt.rest] == whole.ids.tolist()
        assert prompt.rest[:3].tolist() == prompt.expected.tolist()


def test_a_text_gives_its_first_token_away_since_nothing_predicts_it():
    prompt = cut(row("xxxx"), "r", 0, 3)
    assert prompt is not None and prompt.ids.tolist() == [10]


def test_an_encoder_decoder_may_be_asked_with_its_source_alone():
    prompt = cut(row("xxx", source=True), "r", 0, 3)
    assert prompt is not None and prompt.ids.size == 0 and prompt.source is not None


@pytest.mark.parametrize(("prefix", "new_tokens"), [(0, 4), (3, 1), (99, 1)])
def test_a_row_too_short_gives_no_prompt(prefix: int, new_tokens: int):
    assert cut(row("?xxx"), "r", prefix, new_tokens) is None


def test_tokens_without_loss_are_not_asked_for():
    # A chat: answer, question, answer. The pair over the question is no answer, the one behind it is.
    chat = row("?xx??xx")
    assert cut(chat, "r", 0, 2) is not None and cut(chat, "r", 1, 2) is None and cut(chat, "r", 4, 2) is not None


def test_nothing_to_learn_is_not_measured():
    with pytest.raises(NotMeasured):
        cut(row("???"), "r", 0, 1)


def test_parrot_generates_and_scores_but_cannot_be_opened():
    parrot = Parrot((Record("a", text="abc"),))
    assert isinstance(parrot, Target) and isinstance(parrot, Generates) and isinstance(parrot, Scores)
    assert not isinstance(parrot, Opens)
