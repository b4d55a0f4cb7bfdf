"""Judging generated texts: both detectors over the training rows of one task, model and seed, without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.run import Run
from remanence.engine.token_store import from_arrow
from remanence.jobs.study.outcomes import (
    GROUPS,
    SIDES,
    Cell,
    Probe,
    Values,
    outcomes,
    write_outcomes,
)
from remanence.jobs.study.settings import StudySettings
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import LENGTHS, NullCalibration, lengths_for
from remanence.measure.plagiarism.pan2015 import Pan2015
from remanence.measure.plagiarism.published import judged_as_published
from remanence.measure.plagiarism.types import GeneratedText, Judgement
from remanence.text.words import words_of

MIN_TOKENS = 20
"""A detector judges passages: shorter answers are not measurable."""
PIECES, ALIGNED = 1500, 200
"""Held-out pieces per length that calibrate the detector in a study: fewer than in an audit, for many arms."""


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
        there = [i for i, text in enumerate(texts.said) if text is not None and budget >= MIN_TOKENS]
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
                yield Cell(f"{detector}-{whose}", side, str(self.settings.prompt_tokens), budget), values

    def published(self, side: str, texts: Sequence[str | None]) -> tuple[Cell, Values]:
        """The published rate: was any training row's continuation found in the answer? None = was not asked."""
        there = [i for i, text in enumerate(texts) if text is not None]
        values = np.full(len(texts), np.nan, np.float32)
        said = [GeneratedText(texts[i] or "") for i in there]
        judged = judged_as_published(self.index, said, self.detector, self.sources)
        values[there] = [one.label is not None for one in judged]
        return Cell("published", side, str(self.settings.prompt_tokens), max(self.settings.budgets)), values

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


def judge_unit(run: Run, place: str, base: str, who: str, settings: StudySettings) -> None:
    """`outcomes.parquet` of a unit from its tables; needs no model. `base` is the unit that holds the texts."""
    cells: list[Any] = []
    probes = {group: _probes(run, place, group) for group in GROUPS}
    for group in GROUPS:
        cells += [(who, group, *one) for one in outcomes(probes[group], settings)]
    attempts = run.lines(f"{place}/attempts") if settings.detectors else []
    texts = run.lines(f"{base}/texts") if settings.detectors else []
    num_train = len({line["row"] for line in texts if line["part"] == "train"})
    owns = {"train": range(num_train), "heldout": np.random.default_rng(0).integers(0, max(1, num_train), 1 << 16)}
    for side in SIDES:
        here = [line for line in texts if line["side"] == side]
        if not here:
            continue
        judge = Judge(
            [line["text"] for line in here if line["part"] == "train"],
            [(line["prompt"], line["text"]) for line in here if line["part"] == "calibration"],
            settings,
        )
        for at, budget in enumerate(settings.budgets):
            for group in GROUPS:
                lines = [line for line in attempts if line["group"] == group and line["side"] == side]
                own = [int(owns[group][line["row"]]) for line in lines]
                prompts = [line["prompt"] for line in lines]
                said = [_at(line["answer_at"], at) if _at(line["expected_at"], at) is not None else None
                        for line in lines]  # fmt: skip
                cells += [(who, group, *one) for one in judge.cells(side, budget, Texts(said, prompts, own))]
                if who == "base" and group == "train":
                    best = [_at(line["expected_at"], at) for line in lines]
                    cells += [("ceiling", group, *one) for one in judge.cells(side, budget, Texts(best, prompts, own))]
        if "pan2015" in settings.detectors:
            cells += _published(judge, side, attempts, who, settings)
    write_outcomes(run, f"{place}/outcomes", cells)


def _published(
    judge: Judge, side: str, attempts: Sequence[dict[str, Any]], who: str, settings: StudySettings
) -> Iterator[tuple[str, str, Cell, Values]]:
    """As published: every answer counts, however short its row is; nothing is "not measurable"."""
    for group in GROUPS:
        lines = [line for line in attempts if line["group"] == group and line["side"] == side]
        yield who, group, *judge.published(side, [line["answer"] for line in lines])
        if who == "base" and group == "train":
            yield "ceiling", group, *judge.published(side, [line["expected"] for line in lines])


def _at(texts: Sequence[str | None] | None, at: int) -> str | None:
    return None if texts is None else texts[at]


def _probes(run: Run, place: str, group: str) -> list[Probe]:
    boundaries = [line["boundary"] for line in run.lines(f"{place}/probes") if line["group"] == group]
    rows = [row for _, _, row in from_arrow(run.read_table(f"{place}/tokens-{group}"))]
    return [Probe(row, at) for row, at in zip(rows, boundaries, strict=True)]
