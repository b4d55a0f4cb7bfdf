"""Really asking: the model goes on with the beginning of an input, or answers a whole input, and detectors judge it.

The first is the published procedure (Zeng et al. 2024): the first 50 tokens of a training input, 100 tokens of greedy
decoding, compared with the rest of the training inputs. The second asks for outputs. Answers are cut to every budget:
greedy decoding to 20 tokens is the beginning of greedy decoding to 100.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.core.target import Prompt
from remanence.jobs.study.exact import Cell, Values
from remanence.jobs.study.settings import StudySettings
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import LENGTHS, NullCalibration, lengths_for
from remanence.measure.plagiarism.pan2015 import Pan2015
from remanence.measure.plagiarism.published import judged_as_published
from remanence.measure.plagiarism.types import GeneratedText, Judgement
from remanence.models.huggingface import HuggingFace
from remanence.text.words import words_of

LEAST_TOKENS = 20
"""A detector judges passages: of answers shorter than this it can say nothing, and they are not measurable."""
PIECES, ALIGNED = 1500, 200
"""Held-out pieces per length that set our detector's thresholds in a study: fewer than in an audit, for many arms."""


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
            at = row.first + min(settings.asked, (boundary - row.first) // 2)
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
    at = min(settings.asked, body.size // 2)
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


@dataclass(frozen=True)
class Texts:
    """What was said at one budget by one group of rows, ready to be judged; None = not measurable there."""

    said: list[str | None]
    prompts: list[str]
    owns: list[int]
    """Number of the own training row in the index; for held-out rows that of a training row drawn at random."""


class Judge:
    """Both detectors over the training side of one task, model and seed."""

    def __init__(self, training: Sequence[str], unseen: Sequence[tuple[str, str]], settings: StudySettings) -> None:
        """`training` [N]: what the rows' continuations are; `unseen`: (prompt, continuation) that calibrate ours."""
        self.index = PlagiarismIndex.build(training)
        self.settings = settings
        self.unseen = [GeneratedText(text, prompt, heldout=i) for i, (prompt, text) in enumerate(unseen)]
        self.calibration: NullCalibration | None = None
        self.detector = Pan2015.zeng2024()
        self.sources = self.detector.read(list(training)) if "pan2015" in settings.detectors else None

    def cells(self, side: str, budget: int, texts: Texts) -> Iterator[tuple[Cell, Values]]:
        """One value per row: was it flagged as its own row's (`own`), as any training row's (`any`)?"""
        there = [i for i, text in enumerate(texts.said) if text is not None and budget >= LEAST_TOKENS]
        said = [GeneratedText(texts.said[i] or "", texts.prompts[i], texts.owns[i]) for i in there]
        for detector in self.settings.detectors:
            judged: list[Judgement] = []
            if detector == "pan2015" and said:
                judged = judged_as_published(self.index, said, self.detector, self.sources)
            elif said:
                judged = self.index.match(said, self._calibration(said), self.settings.alpha, decoys=0)
            for whose in ("own", "any"):
                values = np.full(len(texts.said), np.nan, np.float32)
                for i, one in zip(there, judged, strict=True):
                    values[i] = np.nan if one.reason is not None else _flagged(one, whose)
                yield Cell(f"{detector}-{whose}", side, str(self.settings.asked), budget), values

    def published(self, side: str, texts: Sequence[str | None]) -> tuple[Cell, Values]:
        """The published rate: was any training row's continuation found in the answer? None = was not asked."""
        there = [i for i, text in enumerate(texts) if text is not None]
        values = np.full(len(texts), np.nan, np.float32)
        said = [GeneratedText(texts[i] or "") for i in there]
        judged = judged_as_published(self.index, said, self.detector, self.sources)
        values[there] = [one.label is not None for one in judged]
        return Cell("published", side, str(self.settings.asked), max(self.settings.budgets)), values

    def _calibration(self, said: Sequence[GeneratedText]) -> NullCalibration | None:
        if self.calibration is None and words_of([one.text for one in self.unseen]).keys.size:
            counts = np.diff(words_of([one.text for one in said]).offsets)
            lengths = sorted({*lengths_for(counts), *LENGTHS})
            self.calibration = NullCalibration.fit(self.index, self.unseen, lengths, 0, PIECES, ALIGNED)
        return self.calibration


def _flagged(one: Judgement, whose: str) -> float:
    if one.label is None:
        return 0.0
    return float(whose == "any" or any(match.whose in ("own", "both") for match in one.matches))
