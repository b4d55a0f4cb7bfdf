"""The prefix attack on Parrot: it brings back exactly what Parrot was told."""

from __future__ import annotations

import numpy as np

from remanence.attack.prefix import Prefix
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.target import Prompt
from remanence.models.parrot import START, Parrot

TOLD = Record("told", text="the cat sat on the mat")
PAIR = Record("pair", prompt="who called? ", completion="Anna Berg at noon")
OTHER = Record("other", text="a dog ran down the road")
SHORT = Record("short", text="abc")


def test_three_bytes_are_shown_and_the_next_four_come_back():
    # <start> t h e | _ c a t
    (attempt,) = Prefix(tokens=3, new_tokens=4)(Parrot((TOLD,)), [TOLD])
    assert attempt.question.ids.tolist() == [START, *b"the"]
    assert attempt.answer.text == " cat" and attempt.answer.ids.tolist() == attempt.expected.tolist()


def test_the_prompt_is_no_part_of_the_answer():
    (attempt,) = Prefix(tokens=3, new_tokens=4)(Parrot((TOLD,)), [TOLD])
    assert attempt.answer.ids.size == 4 and "the" not in attempt.answer.text


def test_exactly_the_told_rows_come_back():
    attempts = list(Prefix(tokens=4, new_tokens=8)(Parrot((TOLD, PAIR)), [OTHER, TOLD, PAIR]))
    assert {a.record_id: bool(np.array_equal(a.answer.ids, a.expected)) for a in attempts} == {
        "other": False,
        "told": True,
        "pair": True,
    }


def test_the_question_of_a_pair_is_always_given():
    (attempt,) = Prefix(tokens=0, new_tokens=4)(Parrot((PAIR,)), [PAIR])
    assert attempt.question.ids.tolist() == [START, *b"who called? "] and attempt.answer.text == "Anna"
    assert attempt.question.prefix_tokens == 0


def test_rows_too_short_or_empty_are_not_asked_about():
    attack, parrot = Prefix(tokens=4, new_tokens=4), Parrot((TOLD,))
    attempts = list(attack(parrot, [SHORT, TOLD, Record("empty", text="")]))
    assert [a.record_id for a in attempts] == ["told"]
    assert attack.prompt(parrot, SHORT) is None and list(attack(parrot, [])) == []


def test_the_last_tokens_of_a_row_can_be_asked_for():
    # 22 bytes and the end: 19 are shown, 4 are left.
    (attempt,) = Prefix(tokens=19, new_tokens=4)(Parrot((TOLD,)), [TOLD])
    assert attempt.answer.text == "mat" and attempt.answer.ids.size == 4


def test_scheme_and_seed_are_those_asked_for():
    class Listening(Parrot):
        def generate(self, prompts: list[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0):  # pyright: ignore
            assert (new_tokens, scheme, seed) == (4, SamplingScheme(0.5), 7)
            return super().generate(prompts, new_tokens, scheme, seed)

    (attempt,) = Prefix(3, 4, SamplingScheme(0.5), seed=7)(Listening((TOLD,)), [TOLD])
    assert attempt.answer.scheme == SamplingScheme(0.5) and attempt.answer.seed == 7
