"""Deduplicate: train with one copy of every row, because repeated rows are memorized most.

Paper: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", arXiv 2107.06499

Exact copies agree after normalising case, white space and the form of characters (NFKC). Near copies share at least
`threshold` of their 5-word shingles (Jaccard); MinHash proposes pairs, so that a million rows need no comparison of
all pairs, and every proposal is verified on the full sets (`text/duplicates.py`). Copies of copies form one cluster, of
which the first row stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.text.duplicates import exact_groups, twin_groups
from remanence.training.from_base import finetune_from_base, training_records


class Removed(NamedTuple):
    """A row that was left out, and why."""

    id: str
    like: str
    """Id of the row of its cluster that stays."""
    kind: Literal["exact", "near"]
    """near = its text differs from that of the row that stays."""


class Deduplicated(NamedTuple):
    """The rows that stay, in the order of the data, and those that are removed."""

    kept: list[Record]
    removed: list[Removed]


def exact_duplicates(texts: Sequence[str]) -> NDArray[np.int64]:
    """[N] index of the first text that is equal except for NFKC, case and white space; its own index if first."""
    return exact_groups(texts)


def minhash_duplicates(texts: Sequence[str], threshold: float = 0.7, permutations: int = 256) -> NDArray[np.int64]:
    """[N] index of the first text of each cluster: exact copies, and chains of pairs at Jaccard >= `threshold`.

    Shingles are 5 words (3 in texts below 12 words, 8 characters in texts without spaces). A pair exactly at the
    threshold is missed with probability 0.001 at most, as long as `permutations` allow it. ValueError for a threshold
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


@accepts_old_keywords()
@dataclass(frozen=True)
class Deduplicate(TrainedFromBase):
    """Fine-tune the base model on one row of every cluster.

    The number of epochs stays the same, so training is shorter by the fraction of rows removed.
    """

    threshold: float | None = 0.7
    """Jaccard similarity of 5-word shingles above which two rows are near copies. none = exact copies only."""
    permutations: int = 256
    """Number of MinHash permutations; more find more of the pairs near a low threshold."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise RemanenceError(f"Deduplicate's threshold is above 0 and up to 1, or None, got {self.threshold}.")

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        return finetune_from_base(target, self.rows(records).kept, "deduplicate", self.training, out=self.out)

    def rows(self, records: Sequence[Record]) -> Deduplicated:
        """The rows to train on and the rows removed; rows of the group heldout are in neither."""
        return deduplicated(training_records(records), self.threshold, self.permutations)
