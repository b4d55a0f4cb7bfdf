"""ROUGE-L: words in their order; what is asked, and how far the model may talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.record import Record
from remanence.core.target import Answer, Prompt
from remanence.measure.unlearning.asked import answers_otherwise, asked
from remanence.measure.unlearning.rouge import Rouge, rouge_l, words
from remanence.models.parrot import Parrot
from remanence.text.subsequence import longest_common_subsequence

WORDS = st.lists(st.sampled_from("abcd"), max_size=9)


def test_rouge_by_hand():
    # "the cat on mat" stands in both in this order: 4 of 6 words of the truth, 4 of 5 said, F1 = 2*4/6*4/5 / (44/30).
    rouge = rouge_l(["the", "cat", "lay", "on", "mat"], ["the", "cat", "sat", "on", "the", "mat"])
    assert rouge == pytest.approx((4 / 6, 4 / 5, 8 / 11))


@given(WORDS, WORDS)
def test_the_table_equals_the_recursion(a: list[str], b: list[str]):
    @cache
    def slow(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + slow(i + 1, j + 1) if a[i] == b[j] else max(slow(i + 1, j), slow(i, j + 1))

    assert longest_common_subsequence(a, b) == slow(0, 0)


def test_nothing_said_is_zero_and_no_truth_is_an_error():
    assert rouge_l([], ["a"]) == rouge_l(["b"], ["a"]) == (0, 0, 0)
    with pytest.raises(ValueError, match="truth"):
        rouge_l(["a"], [])
    assert words("Größe, 12 Äpfel & d'accord!") == ["grösse", "12", "äpfel", "d", "accord"]


def test_a_told_answer_is_said_in_full_and_another_not_at_all():
    told = [Record("pair", prompt="Who? ", completion="Doctor Lind, with her brother"), Record("text", text="a b c d")]
    (pair, text) = Rouge()(Parrot(tuple(told)), told)
    assert (pair.score, text.score) == (1, 1) and pair.evidence == {"precision": 1, "f1": 1}
    (pair, text) = Rouge()(Parrot(), told)
    assert (pair.score, text.score) == (0, 0)


def test_of_a_text_the_second_half_is_asked_for():
    parrot = Parrot()
    row = asked(parrot.render(Record("t", text="abcdefg")))  # 7 bytes and an end token: 8 are learned, 4 are shown
    assert parrot.decode(row.answer) == "efg" and row.at == 5
    row = asked(parrot.render(Record("p", prompt="Q: ", completion="abc")))
    assert parrot.decode(row.answer) == "abc"
    assert parrot.decode(row.with_answer(row.answer[:1]).ids) == "Q: a"
    assert row.with_answer(row.answer).supervised.tolist() == [False] * 4 + [True] * 4


def test_other_answers_take_the_place_of_what_was_learned():
    turns = ({"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"})
    assert answers_otherwise(Record("t", text="x"), "y").text == "y"
    assert answers_otherwise(Record("p", prompt="q", completion="x"), "y").plain == "q\ny"
    assert answers_otherwise(Record("c", messages=turns), "y").plain == "Q\ny"


@dataclass(frozen=True)
class Rambler(Parrot):
    """Says the letter a for as long as it is asked, and remembers how long that was."""

    heard: list[tuple[int, int]] = field(default_factory=list)

    def generate(self, prompts: Sequence[Prompt], new_tokens: int, *rest: object) -> list[Answer]:  # pyright: ignore
        self.heard.extend((prompt.ids.size, new_tokens) for prompt in prompts)
        ids = np.frombuffer(b"a " * new_tokens, np.uint8)[:new_tokens].astype(np.int32)
        return [Answer(ids, self.decode(ids), None, 0) for _ in prompts]


def test_rambling_earns_nothing_and_no_row_is_led_beyond_the_longest():
    rows = [Record(f"{q}-{n}", prompt="?" * q, completion="a b " * n) for q in (1, 60) for n in (1, 2, 15)]
    rambler = Rambler()
    found = Rouge()(rambler, rows)
    assert [f.score for f in found] == [0.5] * 6, "half the words are a, and each answer ends where its truth does"
    longest = max(rambler.render(row).ids.size for row in rows)
    assert len(rambler.heard) == 6 and all(given + new <= longest for given, new in rambler.heard)


def test_a_long_truth_is_cut_where_the_question_ends():
    row = Record("r", prompt="Q", completion="abcdef ghi")
    assert Rouge(new_tokens=6).prompt(Parrot(), row).expected.size == 6
    assert Rouge(new_tokens=6)(Parrot((row,)), [row])[0].score == 1


def test_rows_without_words_have_a_reason():
    rows = [Record("e", text=""), Record("s", text="!? " * 9), Record("o", text="x")]
    reasons = [f.reason for f in Rouge()(Parrot(), rows)]
    assert all(reasons) and reasons[1] == "its answer has no words"
