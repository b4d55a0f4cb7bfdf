"""PlagiarismIndex: a training corpus with the detector of verbatim, paraphrased and idea matches on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from remanence.measure.plagiarism.evidence import Evidence, batch_of, evidence_of
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
