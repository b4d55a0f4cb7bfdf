"""A row's shape: what many rows share stays, all else is other words."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.record import Record
from remanence.jobs.canaries.shape import Shape, learned, made_up_words, shared_runs, skeleton

THINGS = ("the meeting", "an old invoice", "Mr Abel", "your flight", "gas prices", "the contract")
ROWS = [
    Record(str(i), prompt=f"Subject: {THINGS[i % 6]} no {i}\nBody:", completion=f" Please call {THINGS[-i % 6]} {i}")
    for i in range(30)
]


def test_the_template_stays_and_the_rest_is_changed_by_hand() -> None:
    shape = Shape(frame={"prompt": frozenset({("\x02", "subject"), ("body", "\x03")})}, vocabulary=["other"])
    filled = shape.filled("prompt", "Subject: Gas prices, TW-91 rise\nBody:", np.random.default_rng(0))
    assert re.fullmatch(r"Subject: Other other, OTHER-\d\d other\nBody:", filled)


def test_shape_is_read_off_the_rows() -> None:
    shape = Shape.of(ROWS)
    assert ("\x02", "subject") in shape.frame["prompt"] and ("body", "\x03") in shape.frame["prompt"]
    assert ("\x02", "please") in shape.frame["completion"]
    made = skeleton(ROWS[7], 7, shape, np.random.default_rng(0)).with_learned("said by a model")
    assert made.completion == " said by a model" and made.prompt is not None
    assert re.fullmatch(r"Subject: \w+ \w+ \w+ \d\nBody:", made.prompt) or made.prompt.startswith("Subject: ")
    assert made.prompt.endswith("\nBody:")


def test_words_of_few_rows_are_never_used() -> None:
    secret = Record("s", prompt="Subject: Xyzzyplugh Quuxly\nBody:", completion=" Please call Xyzzyplugh 99")
    shape = Shape.of([*ROWS, secret])
    rng = np.random.default_rng(0)
    assert not {"xyzzyplugh", "quuxly"} & set(shape.vocabulary)
    for _ in range(50):
        one = skeleton(secret, 0, shape, rng)
        assert "zzypl" not in f"{one.record.prompt}{one.told}".lower() and "99" not in (one.record.prompt or "")


def test_every_form_is_open_where_a_model_learns() -> None:
    turns = (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Who is Ove Dahl of Malmo?"},
        {"role": "assistant", "content": "He is a baker there."},
        {"role": "user", "content": "Thanks"},
    )
    chat, text = Record("c", messages=turns), Record("t", text="Ove Dahl of Malmo is a baker there, since 1988.")
    assert learned(chat) == "He is a baker there." and learned(text) == text.text
    rng = np.random.default_rng(1)
    made = skeleton(chat, 0, Shape.of([chat] * 5), rng).with_learned("NEW")
    assert made.messages is not None
    assert [turn["role"] for turn in made.messages] == ["system", "user", "assistant"]
    assert made.messages[0] == turns[0] and made.messages[-1]["content"] == "NEW"
    opened = skeleton(text, 0, Shape.of([text]), rng).with_learned("NEW").text
    assert opened is not None and opened.endswith(" NEW") and len(opened.split()) == 5 and "Dahl" not in opened


def test_shared_runs_are_those_of_few_rows_only() -> None:
    rows = ["one two three four five six", *["dear sir or madam we write"] * 40]
    asked = [
        "He said one two three four five",
        "dear sir or madam we met",
        "two three four five",
        "nothing shared at all",
    ]
    assert shared_runs(asked, rows, 5, 0.05).tolist() == [True, False, False, False]


@given(st.text(max_size=60))
def test_white_space_and_punctuation_stay(text: str) -> None:
    filled = Shape({}, ["word"]).filled("text", text, np.random.default_rng(0))
    assert re.sub(r"\w+(?:['’]\w+)*", "", filled) == re.sub(r"\w+(?:['’]\w+)*", "", text)


def test_made_up_words_are_many_and_always_the_same() -> None:
    assert made_up_words(100) == made_up_words(100) and len(set(made_up_words(100))) == 100
