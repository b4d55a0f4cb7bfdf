"""PlagiarismIndex: a training corpus with the detector of verbatim, paraphrased and idea matches on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from remanence.core.record import Record
from remanence.core.verbs import Attack, Measure
from remanence.measure.plagiarism.evidence import Evidence, batch_of, evidence_of
from remanence.measure.plagiarism.generate import calibration_of
from remanence.measure.plagiarism.idea import Similarity
from remanence.measure.plagiarism.index import CorpusIndex
from remanence.measure.plagiarism.judge import judge_texts
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText, Judgement
from remanence.text.background import Background


@dataclass(frozen=True)
class PlagiarismIndex(CorpusIndex):
    """An indexed training corpus against which generated texts are matched. `PlagiarismIndex.build` creates one."""

    def evidence(
        self,
        texts: Sequence[GeneratedText],
        calibration: NullCalibration | None = None,
        background: Background | None = None,
    ) -> Evidence:
        """The verbatim evidence of texts, as `match` uses it."""
        batch = batch_of(texts)
        bits = None if background is None else background.left_out_bits(batch.words)
        return evidence_of(self, batch, None if calibration is None else calibration.common, bits)

    def match(
        self,
        texts: Sequence[GeneratedText],
        calibration: NullCalibration | None = None,
        alpha: float = 0.01,
        background: Background | None = None,
        decoys: int = 99,
        similarity: Similarity | None = None,
    ) -> list[Judgement]:
        """Find verbatim, paraphrase and idea matches of each text, and attribute its words. One judgement per text.

        `calibration` is `NullCalibration.fit(index, heldout)`; a match is flagged when its p-value is at most `alpha`.
        Without a calibration a match is flagged when its E-value is at most `alpha`, which relies on the background
        model, and paraphrases are not flagged. `background` replaces the word surprisals of the corpus: `GivenBits` of
        a base model (the bits are then what fine-tuning added), or an `NGrams` of other held-out text. Ideas are ranked
        among `decoys` other records (0 skips ideas) by shared words, or by another `similarity` such as
        `remanence.text.embed.embedded`.
        """
        evidence = self.evidence(texts, calibration, background)
        return judge_texts(self, texts, evidence, calibration, alpha, decoys, similarity)


@dataclass(frozen=True)
class DetectorMeasure(Measure):
    """Base of the measures that generate a text for each record and compare it with a training corpus."""

    attack: Attack
    """Attack that makes the prompts, such as `Prefix(tokens=32, new_tokens=100)`."""
    alpha: float = 0.01
    """Share of held-out texts that may be flagged."""
    index: PlagiarismIndex | None = field(default=None, repr=False)
    """The training corpus; None = the records that are measured."""
    calibration: NullCalibration | None = field(default=None, repr=False)
    """Scores of held-out texts; without it there are no p-values, and verbatim matches are flagged by E-value."""
    heldout: tuple[Record, ...] = field(default=(), repr=False)
    """The held-out rows of `calibration`, in its order: a row among them does not excuse itself as a common phrase."""

    cost = "1 generation per row, and the comparison with the training texts"

    @property
    def row_by_row(self) -> bool:
        """Only with an index: without one, the corpus is the rows that are measured."""
        return self.index is not None

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> Self:
        """The index of the training rows and the null calibration of held-out rows, where they were not given."""
        index = self.index or PlagiarismIndex.build(train)
        if self.calibration is not None:
            return replace(self, index=index)
        return replace(self, index=index, calibration=calibration_of(index, heldout), heldout=tuple(heldout))
