"""What is learned of the rows and what is lost, counted by hand on rows of a few tokens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.record import Record
from remanence.models.render import Renderer
from remanence.training.prepare import Dropped, prepare
from remanence.training.rows import Row


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_models.make_tokenizer(appends_eos=False)


def test_tokens_are_counted_by_hand(tokenizer: Any) -> None:
    """`q` is the prompt, `zz` the completion, then the end of the text: four tokens, of which three are learned."""
    row = Record("1", prompt="q", completion="zz")
    ids = tokenizer("qzz")["input_ids"]
    assert len(ids) == 3, "one token a letter"
    whole = prepare([row], Renderer(tokenizer))
    assert whole.rows == [Row([*ids, tokenizer.eos_token_id], [-100, *ids[1:], tokenizer.eos_token_id])]
    assert (whole.num_tokens, whole.num_learned, whole.num_cut_rows) == (4, 3, 0)
    cut = prepare([row], Renderer(tokenizer, max_length=2))
    assert (cut.num_tokens, cut.num_learned) == (2, 1)
    assert (cut.num_cut_rows, cut.num_cut_tokens, cut.num_cut_learned) == (1, 2, 2)


def test_the_first_token_is_no_lesson_for_a_decoder_alone(tokenizer: Any) -> None:
    assert prepare([Record("1", text="qz")], Renderer(tokenizer)).num_learned == 2, (
        "q is read; z and the end are learned"
    )


def test_an_encoder_decoder_reads_the_prompt_and_learns_all_of_the_completion(tokenizer: Any) -> None:
    made = prepare([Record("1", prompt="qqq", completion="zz")], Renderer(tokenizer, seq2seq=True))
    assert (made.num_tokens, made.num_learned) == (5, 2)


def test_dropped_rows_say_why(tokenizer: Any) -> None:
    rows = [
        Record("empty", prompt="q", completion=""),
        Record("kept", prompt="q", completion="z"),
        Record("long", prompt="qqqq", completion="z"),
    ]
    made = prepare(rows, Renderer(tokenizer, max_length=3))
    assert [record.id for record in made.records] == ["kept"] and len(made.rows) == 1
    assert made.dropped == [
        Dropped("empty", "the completion is empty"),
        Dropped("long", "truncation cut every token that carries loss"),
    ]
    source = prepare([Record("mute", prompt="", completion="z")], Renderer(tokenizer, seq2seq=True))
    assert source.dropped == [Dropped("mute", "the prompt is empty: the encoder has nothing to read")]
