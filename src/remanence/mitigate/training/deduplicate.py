"""Deduplicate: train again with one copy of every row, because what is said many times is what is recited.

Paper: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", arXiv 2107.06499

Exact copies agree once case, white space and the form of characters (NFKC) are forgotten. Near copies share at least
`threshold` of their 5-word shingles (Jaccard); MinHash proposes pairs, so that a million rows need no comparison of
each with each, and every proposal is checked on the full sets, so that none is wrong (`text/duplicates.py`). Copies of
copies make one cluster, of which the first row stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.models.render import LossOn
from remanence.text.duplicates import exact_groups, twin_groups
from remanence.training.from_base import finetune_from_base, settings_of, training_records


class Removed(NamedTuple):
    """A row that was left out, and why."""

    id: str
    like: str
    """Id of the row of its cluster that stayed."""
    kind: Literal["exact", "near"]
    """near = its text differs from that of the row that stayed."""


class Deduplicated(NamedTuple):
    """Which rows stay, in the order of the data, and what became of the others."""

    kept: list[Record]
    removed: list[Removed]


def exact_duplicates(texts: Sequence[str]) -> NDArray[np.int64]:
    """[N] the place of the first text that says the same, NFKC, case and white space apart; its own place if first."""
    return exact_groups(texts)


def minhash_duplicates(texts: Sequence[str], threshold: float = 0.7, permutations: int = 256) -> NDArray[np.int64]:
    """[N] the place of the first text of each cluster: exact copies, and chains of pairs at Jaccard >= `threshold`.

    Shingles are 5 words (3 in texts below 12 words, 8 characters in texts without spaces). A pair right at the
    threshold is overlooked at most once in a thousand as long as `permutations` allow it. ValueError for a threshold
    outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is a Jaccard similarity above 0 and up to 1, got {threshold}")
    return twin_groups(texts, threshold, permutations)


def deduplicated(records: Sequence[Record], threshold: float | None = 0.7, permutations: int = 256) -> Deduplicated:
    """One record of every cluster, the first; `threshold` None = exact copies only."""
    texts = [record.plain for record in records]
    exact = exact_duplicates(texts)
    first = exact if threshold is None else minhash_duplicates(texts, threshold, permutations)
    kept = [record for place, record in enumerate(records) if first[place] == place]
    removed = [
        Removed(records[place].id, records[stays].id, "exact" if exact[place] == stays else "near")
        for place, stays in enumerate(first.tolist())
        if stays != place
    ]
    return Deduplicated(kept, removed)


@dataclass(frozen=True)
class Deduplicate(Mitigation):
    """Deduplication as a mitigation: fine-tune the base model once more, on one row of every cluster.

    What follows `permutations` is training as in `remanence.training.finetune`, and should be what the model to be
    replaced was trained with. `epochs` stays, so training is as much shorter as there are fewer rows.
    """

    threshold: float | None = 0.7
    """Jaccard similarity of 5-word shingles from which on two rows are near copies; None = exact copies only."""
    permutations: int = 256
    """Numbers in a MinHash; more find more of the pairs near a low threshold."""
    epochs: float = 3
    learning_rate: float = 1e-3
    batch_size: int = 8
    max_length: int = 512
    loss_on: LossOn = "auto"
    seed: int = 0
    """Order of the rows."""
    lora_rank: int | None = None
    """Train a fresh LoRA adapter of this rank and nothing else; None = all weights."""
    out: str | None = None
    """Folder for the trained model; None keeps it in memory only."""

    needs: ClassVar[tuple[str, ...]] = ("base",)

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise RemanenceError(f"Deduplicate's threshold is above 0 and up to 1, or None, got {self.threshold}.")

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records, and stays as it is."""
        settings = settings_of(self)
        return finetune_from_base(target, self.rows(records).kept, "deduplicate", settings, out=self.out)

    def rows(self, records: Sequence[Record]) -> Deduplicated:
        """What will be trained on, and where the other rows went; rows of group "heldout" are neither."""
        return deduplicated(training_records(records), self.threshold, self.permutations)
