"""Generated texts: the rows are put to a model, and its answers are compared with the training rows by the detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.core.target import Prompt, cut
from remanence.jobs.forget.workbench import Workbench
from remanence.measure.plagiarism.compile_kernels import compile_kernels
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, lengths_for
from remanence.measure.plagiarism.types import GeneratedText, generated_text_of
from remanence.measure.unlearning.rouge import rouge_l, words
from remanence.models.huggingface import HuggingFace
from remanence.stats.intervals import bootstrap
from remanence.stats.rates import Rate
from remanence.text.words import words_of

SIDES = {"forget": "forget", "untouched": "untouched", "heldout": "judge"}
"""Name of a side in the tables -> name on the bench."""
ANSWER_TOKENS = 64
"""Maximum number of tokens that are generated for a row."""

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


def generated_rows(bench: Workbench, name: str, target: HuggingFace, side: str) -> list[dict[str, Any]]:
    """Rows to generate from, each with the prefix at which it was extracted before, or from the longest of the grid."""
    settings = bench.settings
    asked: list[tuple[Record, Prompt]] = []
    before = bench.before[SIDES[side]]
    for i, record in enumerate(bench.records(SIDES[side])):
        rendered = bench.rendered(SIDES[side])[i]
        if len(asked) < settings.generate_rows and isinstance(rendered, Rendered):
            prompt = _prompt(rendered, record.id, bench.extraction_prefix(before, i))
            if prompt is not None:
                asked.append((record, prompt))
    answers = target.generate([prompt for _, prompt in asked], ANSWER_TOKENS, seed=settings.seed) if asked else []
    lines: list[dict[str, Any]] = []
    for (record, prompt), answer in zip(asked, answers, strict=True):
        said, truth = answer.ids[: prompt.expected.size], prompt.expected
        text = target.decode(truth)
        lines.append(
            {
                "model": name,
                "side": side,
                "id": record.id,
                "prefix": prompt.prefix_tokens,
                "exact": bool(np.array_equal(said[: settings.new_tokens], truth[: settings.new_tokens])),
                "verbatim": None,
                "paraphrase": None,
                "rouge": rouge_l(words(target.decode(said)), words(text)).recall if words(text) else None,
                "prompt": target.decode(prompt.ids if prompt.source is None else prompt.source),
                "said": target.decode(said),
                "truth": text,
            }
        )
    return lines


def _prompt(rendered: Rendered, id: str, prefix: int) -> Prompt | None:
    """The question, with as much of the row asked for as there is, up to `ANSWER_TOKENS` tokens."""
    scored = int(rendered.scored[rendered.start :].sum())
    while prefix > 0 and scored - prefix < 8:
        prefix //= 2
    try:
        return cut(rendered, id, prefix, min(ANSWER_TOKENS, scored - prefix)) if scored - prefix >= 1 else None
    except NotMeasured:
        return None
