"""One judge reads the attempts of every attack, whatever they ask with."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.attempt import Attempt, Guess, Question, SoftPrompt, TextPrompt, judge, question_text
from remanence.core.example import Example
from remanence.core.record import Record
from remanence.core.table import IntsT
from remanence.core.target import Answer, Prompt
from remanence.models.parrot import Parrot


def ids(*values: int) -> IntsT:
    return np.array(values, np.int32)


def answer(*values: int) -> Answer:
    return Answer(ids(*values), "said", None, 0)


PROMPT = Prompt("a", ids(1, 2), ids(3, 4, 5, 6))
ASKED = TextPrompt("What comes next?")
RECORDS = [Record("a", text="."), Record("b", text=".")]


def test_the_score_is_the_share_of_expected_tokens_at_the_start_of_the_answer():
    # expected 3 4 5 6; the answer has 3 4 and then another token: 2 of 4.
    attempt = Attempt("a", PROMPT, answer(3, 4, 9, 6), PROMPT.expected)
    assert (attempt.shared_prefix, attempt.exact) == (2, False)
    (finding, silent) = judge("prefix", RECORDS, [attempt])
    assert (finding.measure, finding.score) == ("prefix", 0.5)
    assert finding.evidence == {"exact": False, "shared_prefix": 2, "expected": 4, "attempts": 1, "answer": "said"}
    assert silent.score is None and silent.reason == "the attack could not ask about it"


@pytest.mark.parametrize(
    ("said", "shared"), [((3, 4, 5, 6), 4), ((3, 4, 5, 6, 7), 4), ((3, 4, 5), 3), ((), 0), ((4, 5, 6), 0)]
)
def test_only_all_expected_tokens_in_their_order_are_exact(said: tuple[int, ...], shared: int):
    attempt = Attempt("a", ASKED, answer(*said), ids(3, 4, 5, 6))
    assert attempt.shared_prefix == shared and attempt.exact == (shared == 4)


def test_the_best_attempt_counts_whatever_it_asked_with():
    soft = SoftPrompt(np.zeros((1, 4), np.float32), PROMPT)
    questions: list[Question] = [PROMPT, ASKED, soft, Guess("occupation")]
    answers = [answer(3), answer(3, 4), answer(3, 4, 5, 6), answer(9)]
    attempts = [Attempt("a", q, one, PROMPT.expected) for q, one in zip(questions, answers, strict=True)]
    (finding, _) = judge("mixed", RECORDS, attempts)
    assert finding.score == 1 and finding.evidence["exact"] and finding.evidence["attempts"] == 4


def test_a_record_without_an_answer_has_a_reason():
    refused = Attempt("a", ASKED, None, PROMPT.expected, "the server refused")
    unknown = Attempt("b", ASKED, answer(1), ids())
    found = judge("x", RECORDS, [refused, unknown])
    assert [f.score for f in found] == [None, None]
    assert [f.reason for f in found] == ["the server refused", "it is not known what the answer should be"]
    assert not refused.exact and not unknown.exact


def test_what_was_given_as_text():
    parrot = Parrot()
    prompt = Prompt("a", ids(*b"Dear "), ids(*b"Anna"))
    assert question_text(prompt, parrot) == "Dear "
    assert question_text(Prompt("a", ids(), ids(1), source=ids(*b"Read: ")), parrot) == "Read: "
    assert question_text(SoftPrompt(np.zeros((2, 4), np.float32), prompt), parrot) == "Dear "
    assert question_text(ASKED, parrot) == "What comes next?" and question_text(Guess("age"), parrot) == ""


def test_an_example_knows_whether_its_label_is_noise():
    clean = Example("c", np.zeros(2), label=3)
    wrong = Example("w", np.zeros(2), label=3, given_label=5)
    unknown = Example("u", np.zeros(2), given_label=5)
    assert [e.trained_label for e in (clean, wrong, unknown)] == [3, 5, 5]
    assert [e.mislabeled for e in (clean, wrong, unknown)] == [False, True, False]
    assert clean == Example("c", np.zeros(2), label=3) and hash(clean) == hash(Example("c", np.zeros(2), label=3))
    assert clean != Example("c", np.ones(2), label=3) and clean != wrong and clean != "c"
