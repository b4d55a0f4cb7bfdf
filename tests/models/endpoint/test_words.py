"""Words in the place of tokens: nothing is lost, and an answer is read as far as it is the row's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.core.target import cut
from remanence.models.endpoint.words import Words


def test_a_text_is_cut_before_the_space_of_each_word() -> None:
    words = Words()
    ids = np.array(words.cut("Anna came, at noon."), np.int32)
    assert [words.decode(ids[i : i + 1]) for i in range(ids.size)] == ["Anna", " came", ",", " at", " noon", "."]


@given(st.text())
def test_units_put_together_are_the_text(text: str) -> None:
    words = Words()
    assert words.decode(np.array(words.cut(text), np.int32)) == text


def test_scripts_without_spaces_are_cut_at_every_sign() -> None:
    assert len(Words().cut("今日は雨")) == 4


def test_a_pair_asks_for_its_completion_and_a_chat_for_its_last_reply() -> None:
    words = Words()
    pair = words.render(Record("a", prompt="Who called?", completion=" Anna Berg."))
    assert (pair.start, int(pair.scored.sum())) == (3, 3)
    turns = (
        {"role": "user", "content": "Who called?"},
        {"role": "assistant", "content": "Anna Berg."},
        {"role": "user", "content": "Thanks"},
    )
    chat = words.render(Record("b", messages=turns))
    assert words.decode(chat.ids[chat.start :]) == "Anna Berg."
    assert words.marks.turns(chat.ids[: chat.start]) == [("user", pair.ids[:3].tolist()), ("assistant", [])]
    assert words.decode(chat.ids) == "user: Who called?\nassistant: Anna Berg."


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record("a", prompt="x", completion=""), "the completion is empty"),
        (Record("b", messages=({"role": "user", "content": "x"},)), "no assistant turn"),
        (Record("c", messages=({"role": "assistant", "content": "x"},)), "nothing stands before"),
    ],
)
def test_a_row_without_anything_to_ask_for_says_so(record: Record, reason: str) -> None:
    with pytest.raises(NotMeasured, match=reason):
        Words().render(record)


def read(text: str, finish: str = "stop", num: int = 3) -> int | None:
    """How many of the words " Anna Berg came" an answer has; None where it was cut off."""
    words = Words()
    prompt = cut(words.render(Record("a", prompt="Who?", completion=" Anna Berg came home")), "a", 0, num)
    assert prompt is not None
    said = words.read(prompt.ids, prompt.expected, text, finish)
    if said is None:
        return None
    return int(np.argmin([*(said == prompt.expected[: said.size]), False]))


def test_an_answer_is_read_word_by_word() -> None:
    assert read(" Anna Berg came home") == 3
    assert read("Anna Berg came to see us", "length") == 3  # servers leave the first space away
    assert read(" Anna Bergmann came") == 1
    assert read(" Anna Berg") == 2
    assert read("") == 0


def test_an_answer_that_was_cut_off_within_the_words_is_not_judged() -> None:
    assert read(" Anna Berg", "length") is None
    assert read(" Anna Berg came", "length") is None  # it may have been going to be "cameras"
    assert read(" Anna Berg cam", "length") is None


def test_a_length_in_tokens_needs_a_tokenizer() -> None:
    with pytest.raises(RemanenceError, match="--tokenizer"):
        Words(max_length=100)
