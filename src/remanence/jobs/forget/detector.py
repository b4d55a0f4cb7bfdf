"""Copies in other words: what a model said about a row, held against all training rows by the calibrated detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from remanence.core.record import Record
from remanence.measure.plagiarism.compile_kernels import compile_kernels
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, lengths_for
from remanence.measure.plagiarism.types import GeneratedText, generated_text_of
from remanence.stats.intervals import bootstrap
from remanence.stats.rates import Rate
from remanence.text.words import words_of

LONGEST = 48
"""Words of the longest answer that thresholds are made for."""


class Detector:
    """Made once for all models: the training rows, and what held-out texts reach by chance."""

    def __init__(self, train: Sequence[Record], heldout: Sequence[Record], alpha: float = 0.01, seed: int = 0) -> None:
        """`train`: every row that the model before was trained on, once each."""
        compile_kernels()
        self.alpha, self.seed = alpha, seed
        self.place = {record.id: i for i, record in enumerate(train)}
        self.heldout = {record.id: i for i, record in enumerate(heldout)}
        self.index = PlagiarismIndex.build(train)
        texts = [generated_text_of(record, heldout=i) for i, record in enumerate(heldout)]
        self.calibration = None
        if words_of([one.text for one in texts]).keys.size:
            self.calibration = NullCalibration.fit(self.index, texts, lengths_for(np.arange(1, LONGEST + 1)), seed)

    def _said(self, line: dict[str, Any]) -> GeneratedText:
        if line["side"] == "heldout":
            return GeneratedText(line["said"], line["prompt"], heldout=self.heldout.get(line["id"], -1))
        return GeneratedText(line["said"], line["prompt"], self.place.get(line["id"], -1))

    def judge(self, lines: list[dict[str, Any]], side: str) -> list[tuple[Any, ...]]:
        """Fills in what each line of `said.parquet` of a side repeats, and sums it up as lines for `scores.parquet`."""
        here = [line for line in lines if line["side"] == side]
        if not here:
            return []
        found = self.index.match(
            [self._said(line) for line in here],
            self.calibration,
            self.alpha,
            decoys=0,
        )
        for line, one in zip(here, found, strict=True):
            line["verbatim"] = None if one.reason else one.label == "verbatim"
            line["paraphrase"] = None if one.reason else one.label in {"verbatim", "paraphrase"}
        told: list[tuple[Any, ...]] = []
        for metric, column in (("generated_exact", "exact"), ("verbatim", "verbatim"), ("paraphrase", "paraphrase")):
            flags = [bool(line[column]) for line in here if line[column] is not None]
            rate = Rate.of(np.array(flags, bool))
            note = "word for word or in other words" if metric == "paraphrase" else ""
            told.append((metric, rate.rate, rate.hits, rate.n, rate.low, rate.high, note))
        rouge = np.array([line["rouge"] for line in here if line["rouge"] is not None], np.float64)
        if rouge.size:
            told.append(("rouge", float(rouge.mean()), None, rouge.size, *bootstrap(rouge, np.mean, self.seed)))
        return told
