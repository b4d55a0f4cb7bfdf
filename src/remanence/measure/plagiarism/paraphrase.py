"""Paraphrase: does the model retell a passage of a training record in other words?

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014, for the alignment (`remanence.text.align`); Lee et al. 2023, "Do Language Models Plagiarize?", arXiv
2203.07618, for the kind

Departures: words are weighed by a whole corpus; a passage counts when held-out texts of the same length reach as many
bits with probability alpha at most, never by a bare threshold.
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
from remanence.measure.plagiarism.said import Judged


@dataclass(frozen=True)
class Paraphrase:
    """Asks the target about each record, and aligns what it says with the records that are most like it."""

    attack: Attack
    """How the target is made to talk, such as `Prefix(tokens=32, new_tokens=100)`."""
    alpha: float = 0.01
    """Share of held-out texts that may be flagged."""
    index: PlagiarismIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are asked about."""
    chance: Chance | None = field(default=None, repr=False)
    """What held-out texts reach; without it nothing has a p-value."""

    def __call__(self, target: Generates, records: Sequence[Record]) -> Findings:
        """One finding per record: score = bits of the best aligned passage, verbatim ones included."""
        index, said, number = ask(self.attack, target, records, self.index)
        found = index.match(said, self.chance, self.alpha, decoys=0)

        def told(one: Judged) -> tuple[float, dict[str, object]]:
            return one.paraphrase_bits, {"p_value": one.paraphrase_p, "label": one.label}

        return findings_of("paraphrase", records, number, found, told)
