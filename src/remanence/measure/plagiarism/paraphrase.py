"""Paraphrase: does the model restate a passage of a training record in other words?

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014, for the alignment (`remanence.text.align`); Lee et al. 2023, "Do Language Models Plagiarize?", arXiv
2203.07618, for the kind

Departures: words are weighted by their frequency in a whole corpus; a passage counts when held-out texts of the same
length reach as many bits with probability alpha at most, not by a fixed threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Findings
from remanence.measure.plagiarism.detector import DetectorMeasure, PlagiarismIndex
from remanence.measure.plagiarism.generate import findings_of, generate_texts
from remanence.measure.plagiarism.types import Judgement


@dataclass(frozen=True)
class Paraphrase(DetectorMeasure):
    """Generate a text for each record, and align it with the training records that are most similar to it."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = bits of the best aligned passage, verbatim ones included."""
        index = self.index or PlagiarismIndex.build(records)
        texts, positions = generate_texts(self.attack, target, records, index, self.heldout)
        judgements = index.match(texts, self.calibration, self.alpha, decoys=0)

        def score_of(judgement: Judgement) -> tuple[float, dict[str, object]]:
            return judgement.paraphrase_bits, {"p_value": judgement.paraphrase_p, "label": judgement.label}

        return findings_of("paraphrase", records, positions, judgements, score_of)
