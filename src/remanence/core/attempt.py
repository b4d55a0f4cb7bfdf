"""An attempt is one question that an attack asks about a record, and the answer; one judge reads the attempts of all.

What may be asked: token ids, text for a target that takes text, trained input vectors, or nothing at all, when the
attacker names what it believes to be true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.table import IntsT
from remanence.core.target import Answer, Prompt, ReadsText


@dataclass(frozen=True)
class TextPrompt:
    """An instruction as text, for an attack that does not choose tokens."""

    text: str


@dataclass(frozen=True)
class SoftPrompt:
    """Trained input vectors that stand before the token ids of a prompt."""

    vectors_LD: NDArray[np.float32]
    """[L, D] one vector per virtual token, of the width of the model's input embeddings."""
    prompt: Prompt
    """The tokens after the vectors."""


@dataclass(frozen=True)
class Guess:
    """No prompt: the attempt's answer is what the attacker believes, such as an attribute of the record's author."""

    about: str
    """What is guessed, such as `occupation`."""


Question: TypeAlias = Prompt | TextPrompt | SoftPrompt | Guess


def question_text(question: Question, target: ReadsText) -> str:
    """The text that the target was given: an answer that repeats it is no evidence of memory."""
    if isinstance(question, TextPrompt):
        return question.text
    if isinstance(question, Guess):
        return ""
    prompt = question.prompt if isinstance(question, SoftPrompt) else question
    return target.decode(prompt.ids if prompt.source is None else prompt.source)


@dataclass(frozen=True)
class Attempt:
    """One question about one record, and its answer."""

    record_id: str
    question: Question
    answer: Answer | None
    """None when no answer came."""
    expected: IntsT
    """[K] the tokens that a complete extraction gives; not shown to the target."""
    reason: str = ""
    """Why there is no answer."""

    @property
    def exact(self) -> bool:
        """Whether the answer begins with all expected tokens."""
        return self.expected.size > 0 and self.shared_prefix == self.expected.size

    @property
    def shared_prefix(self) -> int:
        """Number of expected tokens at the start of the answer, in their order."""
        if self.answer is None:
            return 0
        size = min(self.answer.ids.size, self.expected.size)
        differs = np.flatnonzero(self.answer.ids[:size] != self.expected[:size])
        return int(differs[0]) if differs.size else size


NO_ATTEMPT = "the attack could not ask about it"


def judge(name: str, records: Sequence[Record], attempts: Iterable[Attempt]) -> list[Finding]:
    """One finding per record, in order, under the attack's name.

    The score is `shared_prefix / K`, from 0 to 1 (higher = more memorized; 1 = every expected token is extracted), of
    the attempt with the longest shared prefix. Evidence: `exact`, `shared_prefix`, `expected` (K), `attempts`, and the
    `answer`'s text. A record without an answer, or without expected tokens, has a reason.
    """
    by_record: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_record.setdefault(attempt.record_id, []).append(attempt)
    return [_finding(name, record.id, by_record.get(record.id, [])) for record in records]


def _finding(name: str, record_id: str, attempts: Sequence[Attempt]) -> Finding:
    answered = [attempt for attempt in attempts if attempt.answer is not None and attempt.expected.size]
    if not answered:
        reason = next((attempt.reason for attempt in attempts if attempt.reason), "")
        unknown = "it is not known what the answer should be" if attempts else NO_ATTEMPT
        return Finding(record_id, name, None, reason=reason or unknown)
    best = max(answered, key=lambda attempt: attempt.shared_prefix / attempt.expected.size)
    assert best.answer is not None
    evidence = {
        "exact": best.exact,
        "shared_prefix": best.shared_prefix,
        "expected": int(best.expected.size),
        "attempts": len(attempts),
        "answer": best.answer.text,
    }
    return Finding(record_id, name, best.shared_prefix / best.expected.size, evidence)
