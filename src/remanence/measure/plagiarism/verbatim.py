"""Verbatim: does the model repeat runs of training words that neither the prompt nor chance explains?

Paper: Lee et al. 2023, "Do Language Models Plagiarize?", arXiv 2203.07618, for the kind; runs and their E-values after
Karlin, Altschul 1990, "Methods for assessing the statistical significance of molecular sequence features", PNAS 87

Departures: all shared runs are found, without retrieving candidates first; a run counts by its surprisal and not by its
number of characters; thresholds come from held-out texts. `pan2015` is the published detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Findings
from remanence.measure.plagiarism.detector import DetectorMeasure, PlagiarismIndex
from remanence.measure.plagiarism.generate import findings_of, generate_texts
from remanence.measure.plagiarism.types import Judgement, Match


@dataclass(frozen=True)
class Verbatim(DetectorMeasure):
    """Generate a text for each record, and score the best chain of words it shares with any training record."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = bits of the best chain; the evidence holds p-value and matches."""
        index = self.index or PlagiarismIndex.build(records)
        texts, positions = generate_texts(self.attack, target, records, index, self.heldout)
        judgements = index.match(texts, self.calibration, self.alpha, decoys=0)

        def score_of(judgement: Judgement) -> tuple[float, dict[str, object]]:
            matches = [_evidence(index, match) for match in judgement.matches if match.kind == "verbatim"]
            evidence: dict[str, object] = {
                "p_value": judgement.p_value,
                "matches": matches,
                "origins": dict(judgement.origins),
            }
            return judgement.bits, evidence

        return findings_of("verbatim", records, positions, judgements, score_of)


def _evidence(index: PlagiarismIndex, match: Match) -> dict[str, object]:
    return {"whose": match.whose, "record": index.ids[match.record], "start": match.start, "end": match.end}
