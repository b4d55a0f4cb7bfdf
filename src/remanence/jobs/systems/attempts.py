"""The attempts of an attack as tables: asked once in shards, and played back to whatever judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.attempt import Attempt, Guess, Question, SoftPrompt, TextPrompt, question_text
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.target import Answer, Prompt, ReadsText
from remanence.core.verbs import Attack

_INTS = pa.list_(pa.int32())
TABLE = pa.schema(
    {
        "target": pa.string(),  # tuned or base
        "group": pa.string(),  # train or heldout
        "row": pa.int32(),
        "id": pa.string(),
        "kind": pa.string(),  # Prompt, TextPrompt, SoftPrompt, Guess
        "prompt": pa.string(),  # text of what was asked; for a guess, what is guessed
        "prompt_ids": _INTS,  # null for text and guesses
        "source_ids": _INTS,  # encoder input, or null
        "answer": pa.string(),  # null with a reason
        "answer_ids": _INTS,
        "expected_ids": _INTS,
        "scheme": pa.string(),  # null = greedy
        "seed": pa.int64(),
        "shared_prefix": pa.int32(),  # expected tokens at the start of the answer
        "exact": pa.bool_(),
        "reason": pa.string(),
    }
)
"""One line per attempt, in the order of the rows. `attempts/TARGET-GROUP-NNNNN.parquet`"""


@dataclass(frozen=True)
class Replay(Attack):
    """Attempts that were made before, in the place of the attack that made them."""

    by_record: Mapping[str, Sequence[Attempt]]

    def __call__(self, target: Any, records: Sequence[Record]) -> Iterator[Attempt]:
        """The attempts about these records, in their order; nothing is asked."""
        for record in records:
            yield from self.by_record.get(record.id, ())


def to_lines(attempts: Iterable[Attempt], target: ReadsText, role: str, group: str) -> Iterator[dict[str, Any]]:
    """The lines of `TABLE`, but for `row` and `id`, which the caller knows by the attempt's `record_id`."""
    for attempt in attempts:
        question, answer = attempt.question, attempt.answer
        prompt = question.prompt if isinstance(question, SoftPrompt) else question
        tokens = isinstance(prompt, Prompt)
        about = question.about if isinstance(question, Guess) else question_text(question, target)
        yield {
            "record_id": attempt.record_id,
            "target": role,
            "group": group,
            "kind": type(question).__name__,
            "prompt": _storable(about),
            "prompt_ids": prompt.ids.tolist() if tokens else None,
            "source_ids": prompt.source.tolist() if tokens and prompt.source is not None else None,
            "answer": None if answer is None else _storable(answer.text),
            "answer_ids": None if answer is None else answer.ids.tolist(),
            "expected_ids": attempt.expected.tolist(),
            "scheme": None if answer is None or answer.scheme is None else answer.scheme.name,
            "seed": 0 if answer is None else answer.seed,
            "shared_prefix": attempt.shared_prefix,
            "exact": attempt.exact,
            "reason": None if answer is not None else attempt.reason,
        }


def from_line(line: Mapping[str, Any], record_id: str) -> Attempt:
    """The attempt of a line; the vectors of a soft prompt are not stored, so it comes back as its token prompt."""
    expected = np.array(line["expected_ids"], np.int32)
    question: Question
    if line["kind"] == "TextPrompt":
        question = TextPrompt(line["prompt"])
    elif line["kind"] == "Guess":
        question = Guess(line["prompt"])
    else:
        source = None if line["source_ids"] is None else np.array(line["source_ids"], np.int32)
        question = Prompt(record_id, np.array(line["prompt_ids"], np.int32), expected, source)
    answer = None
    if line["answer_ids"] is not None:
        scheme = None if line["scheme"] is None else SamplingScheme.parse(line["scheme"])
        answer = Answer(np.array(line["answer_ids"], np.int32), line["answer"], scheme, line["seed"])
    return Attempt(record_id, question, answer, expected, line["reason"] or "")


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
