"""Paraphrase: does the model restate a passage of a training record in other words?

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014, for the alignment (`remanence.text.align`); Lee et al. 2023, "Do Language Models Plagiarize?", arXiv
2203.07618, for the kind

Departures: words are weighted by their frequency in a whole corpus; a passage counts when held-out texts of the same
length reach as many bits with probability alpha at most, not by a fixed threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings, Measure
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.generate import calibration_of, findings_of, generate_texts
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import Judgement


@dataclass(frozen=True)
class Paraphrase(Measure):
    """Generate a text for each record, and align it with the training records that are most similar to it."""

    attack: Attack
    """Attack that makes the prompts, such as `Prefix(tokens=32, new_tokens=100)`."""
    alpha: float = 0.01
    """Share of held-out texts that may be flagged."""
    index: PlagiarismIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are measured."""
    calibration: NullCalibration | None = field(default=None, repr=False)
    """Scores of held-out texts; without it there are no p-values."""
    heldout: tuple[Record, ...] = field(default=(), repr=False)
    """The held-out rows of `calibration`, in its order: a row among them does not excuse itself as a common phrase."""

    cost = "1 generation per row, and the comparison with the training texts"

    @property
    def row_by_row(self) -> bool:
        """Only with an index: without one, the corpus is the rows that are measured."""
        return self.index is not None

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> Paraphrase:
        """The index of the training rows and the null calibration of held-out rows, where they were not given."""
        index = self.index or PlagiarismIndex.build(train)
        if self.calibration is not None:
            return replace(self, index=index)
        return replace(self, index=index, calibration=calibration_of(index, heldout), heldout=tuple(heldout))

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = bits of the best aligned passage, verbatim ones included."""
        index = self.index or PlagiarismIndex.build(records)
        texts, positions = generate_texts(self.attack, target, records, index, self.heldout)
        judgements = index.match(texts, self.calibration, self.alpha, decoys=0)

        def score_of(judgement: Judgement) -> tuple[float, dict[str, object]]:
            return judgement.paraphrase_bits, {"p_value": judgement.paraphrase_p, "label": judgement.label}

        return findings_of("paraphrase", records, positions, judgements, score_of)
