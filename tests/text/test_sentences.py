"""Where sentences end, by hand; and that nothing but white space is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.sentences import sentence_spans


def cut(text: str) -> list[str]:
    return [text[a:b] for a, b in sentence_spans(text)]


def test_a_sentence_ends_after_its_stop_and_the_spans_say_where():
    assert sentence_spans("Yes. No!  Why?") == [(0, 4), (5, 8), (10, 14)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('He said "stop." Then (he left.) Well', ['He said "stop."', "Then (he left.)", "Well"]),
        ("3.14 is at a.b.c", ["3.14 is at a.b.c"]),
        ("Wait... what?! ok", ["Wait...", "what?!", "ok"]),
        ("你好。「再见。」好吗？是", ["你好。", "「再见。」", "好吗？", "是"]),
        ("ठीक है। हाँ", ["ठीक है।", "हाँ"]),
        ("Title\n\nText goes\non. End", ["Title", "Text goes\non.", "End"]),
        ("Title\r\n \r\nText", ["Title", "Text"]),
        ("", []),
        (" \n\n ", []),
        (" ... ", ["..."]),
    ],
)
def test_sentences_by_hand(text: str, sentences: list[str]):
    assert cut(text) == sentences


@given(st.text(st.sampled_from(". !?a。\n\"' x")))
def test_only_white_space_lies_between_sentences(text: str):
    spans = sentence_spans(text)
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    assert "".join("".join(cut(text)).split()) == "".join(text.split())


def test_a_million_dots_or_spaces_take_no_longer_than_a_million_letters():
    assert cut("." * 10**6 + "x") == ["." * 10**6 + "x"]
    assert cut(" " * 10**6) == cut("\n" * 10**6) == []
    assert len(cut("a\n" + " " * 10**6 + "\nb" + "(" * 10**6)) == 2
