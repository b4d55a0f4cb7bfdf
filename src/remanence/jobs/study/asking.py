"""Really asking: the model goes on with the beginning of an input, or answers a whole input, and detectors judge it.

The first is the published procedure (Zeng et al. 2024): the first 50 tokens of a training input, 100 tokens of greedy
decoding, compared with the rest of the training inputs. The second asks for outputs. Answers are cut to every budget:
greedy decoding to 20 tokens is the beginning of greedy decoding to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.table import Rendered
from remanence.core.target import Prompt, Scores, rendered_rows
from remanence.jobs.study.data import Split, whole
from remanence.jobs.study.outcomes import (
    ATTEMPTS,
    SIDES,
)
from remanence.jobs.study.settings import StudySettings
from remanence.models.huggingface import HuggingFace
from remanence.models.render import Renderer


@dataclass(frozen=True)
class Question:
    """What one row is asked on one side."""

    prompt: Prompt
    prompt_text: str
    """The exact text of what the model is given."""
    expected: Any
    """[K] token ids of the row's own continuation, in the terms of the answer."""


def questions(
    target: HuggingFace, rendered: Sequence[Rendered | str], records: Sequence[Record], boundaries: Sequence[int],
    side: str, settings: StudySettings,
) -> list[Question | None]:  # fmt: skip
    """One question per row; None where the row has nothing to go on with."""
    out: list[Question | None] = []
    for row, record, boundary in zip(rendered, records, boundaries, strict=True):
        out.append(None if isinstance(row, str) else _question(target, row, record, boundary, side, settings))
    return out


def _question(
    target: HuggingFace, row: Rendered, record: Record, boundary: int, side: str, settings: StudySettings
) -> Question | None:
    longest = max(settings.budgets)
    if row.source is None:
        at = boundary
        if side == "input":
            at = row.first + min(settings.prompt_tokens, (boundary - row.first) // 2)
        rest = row.ids[at : boundary if side == "input" else row.ids.size]
        if rest.size == 0 or at == 0:
            return None
        prompt = Prompt(record.id, row.ids[:at], rest[:longest], None, at - row.first, rest)
        return Question(prompt, target.decode(row.ids[:at]), rest)
    source = row.source
    if side == "output":
        return Question(Prompt(record.id, row.ids[:0], row.ids[:longest], source, 0, row.ids),
                        target.decode(source), row.ids)  # fmt: skip
    closing = 1 if source.size and int(source[-1]) == target.tokenizer.eos_token_id else 0
    body = source[: source.size - closing]
    at = min(settings.prompt_tokens, body.size // 2)
    if at == 0:
        return None
    given = np.concatenate([body[:at], source[source.size - closing :]]) if closing else body[:at]
    return Question(Prompt(record.id, row.ids[:0], row.ids[:0], given, 0, row.ids[:0]), target.decode(given), body[at:])


def ask(target: HuggingFace, asked: Sequence[Question | None], settings: StudySettings) -> list[Any]:
    """The answers' token ids, greedy, in order; None where nothing was asked."""
    there = [i for i, one in enumerate(asked) if one is not None]
    prompts = [one.prompt for one in asked if one is not None]
    answers = target.generate(prompts, max(settings.budgets)) if prompts else []
    out: list[Any] = [None] * len(asked)
    for i, answer in zip(there, answers, strict=True):
        out[i] = answer.ids
    return out


def generate_attempts(
    target: HuggingFace, group: str, side: str, records: Sequence[Record], rendered: Sequence[Rendered | str],
    boundaries: Sequence[int], settings: StudySettings,
) -> list[dict[str, Any]]:  # fmt: skip
    asked = questions(target, rendered, records, boundaries, side, settings)
    lines: list[dict[str, Any]] = []
    for i, (record, question, ids) in enumerate(zip(records, asked, ask(target, asked, settings), strict=True)):
        line: dict[str, Any] = {"group": group, "row": i, "id": record.id, "side": side}
        if question is None:
            lines.append({**dict.fromkeys(ATTEMPTS.names), **line})
            continue
        prompt = question.prompt
        line |= {"prompt": whole(question.prompt_text), "prompt_ids": prompt.ids.tolist(), "answer_ids": ids.tolist(),
                 "source_ids": None if prompt.source is None else prompt.source.tolist(),
                 "expected_ids": question.expected[: max(settings.budgets)].tolist()}  # fmt: skip
        for name, said in (("answer", ids), ("expected", question.expected)):
            line[name] = whole(target.decode(np.asarray(said[: max(settings.budgets)], np.int32)))
            line[f"{name}_at"] = [
                None if question.expected.size < budget else whole(target.decode(np.asarray(said[:budget], np.int32)))
                for budget in settings.budgets
            ]
        lines.append(line)
    return lines


def write_texts(run: Run, place: str, target: HuggingFace, split: Split, settings: StudySettings) -> None:
    """`texts.parquet`: what every training row's own continuation is on each side, and the unseen rows' likewise."""
    import pyarrow as pa

    lines: list[dict[str, Any]] = []
    for part, records in (("train", split.train), ("calibration", split.calibration)):
        rendered, boundaries = rendered_rows(cast(Scores, target), records), output_starts(target, records)
        for side in SIDES:
            for i, question in enumerate(questions(target, rendered, records, boundaries, side, settings)):
                text = "" if question is None else target.decode(np.asarray(question.expected, np.int32))
                prompt = "" if question is None else question.prompt_text
                lines.append({"part": part, "side": side, "row": i, "prompt": whole(prompt), "text": whole(text)})
    run.write_table(f"{place}/texts", pa.Table.from_pylist(lines))


def output_starts(target: HuggingFace, records: Sequence[Record]) -> list[int]:
    """Index of the first output token of each row; the row's length where the cut left no output."""
    if target.family == "seq2seq":
        return [0] * len(records)
    old = target.renderer
    outputs = Renderer(old.tokenizer, "completion", old.max_length, old.add_eos, False, old.context)
    found: list[int] = []
    for record in records:
        try:
            row = outputs(record)
            found.append(int(np.argmax(row.supervised)) if row.supervised.any() else int(row.ids.size))
        except NotMeasured:
            found.append(0)
    return found
