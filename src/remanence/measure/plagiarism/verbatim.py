"""Verbatim: does the model repeat runs of training words that neither the prompt nor chance explains?

Paper: Lee et al. 2023, "Do Language Models Plagiarize?", arXiv 2203.07618, for the kind; runs and their E-values after
Karlin, Altschul 1990, "Methods for assessing the statistical significance of molecular sequence features", PNAS 87

Departures: no candidates are retrieved, every shared run is seen; a run counts by its surprisal and not by its
characters; thresholds come from held-out texts. `pan2015` is the published detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from remanence.core.record import Record
from remanence.core.target import Generates
from remanence.core.verbs import Attack, Findings
from remanence.measure.plagiarism.asking import ask, findings_of
from remanence.measure.plagiarism.chance import Chance
from remanence.measure.plagiarism.index import PlagiarismIndex
from remanence.measure.plagiarism.said import Judged, Match


@dataclass(frozen=True)
class Verbatim:
    """Asks the target about each record, and weighs the longest chain of words it shares with any training record."""

    attack: Attack
    """How the target is made to talk, such as `Prefix(tokens=32, new_tokens=100)`."""
    alpha: float = 0.01
    """Share of held-out texts that may be flagged."""
    index: PlagiarismIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are asked about."""
    chance: Chance | None = field(default=None, repr=False)
    """What held-out texts reach; None = E-values are trusted."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = bits of the best chain; the evidence holds p-value and matches."""
        index, said, number = ask(self.attack, target, records, self.index)
        found = index.match(said, self.chance, self.alpha, decoys=0)

        def told(one: Judged) -> tuple[float, dict[str, object]]:
            matches = [_told(index, m) for m in one.matches if m.kind == "verbatim"]
            return one.bits, {"p_value": one.p_value, "matches": matches, "origins": dict(one.origins)}

        return findings_of("verbatim", records, number, found, told)


def _told(index: PlagiarismIndex, match: Match) -> dict[str, object]:
    return {"whose": match.whose, "record": index.ids[match.record], "start": match.start, "end": match.end}
