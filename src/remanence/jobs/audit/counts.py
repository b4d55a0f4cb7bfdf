"""One pass over the row summaries: rates, membership, ranking and notes, with one block in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.jobs.audit.answered import UNASKED
from remanence.jobs.audit.notes import NoteCounts, sorted_reasons, without_counts
from remanence.jobs.audit.ranking import HighestRanked
from remanence.jobs.audit.rate_counts import RateCounts
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import RowSummaries, ranking_measure
from remanence.stats.member_counts import MemberCounts

RUN = "longest run"
"""Stands in the place of a measure: rows are compared by their longest run where no likelihood is known."""


@dataclass
class Counts:
    """The sums over all blocks of a run."""

    rates: RateCounts
    members: dict[tuple[str, str], MemberCounts]
    """(role, measure) -> training rows between the scores of held-out rows; empty without held-out rows."""
    ranked: HighestRanked
    """Training rows."""
    ranked_heldout: HighestRanked
    num_train: int = 0
    num_distinct: int = 0
    num_extracted: int = 0
    """Training rows that are extracted."""
    num_repeated: int = 0
    """How many of those occur in the data more than once."""
    near_counted: bool = True
    num_contaminated: int = 0
    num_truncated: int = 0
    num_lost: int = 0
    """Tokens that would have carried loss in the truncated rows."""
    reasons: Counter[str] = field(default_factory=Counter[str])
    rechecks: Counter[Any] = field(default_factory=Counter[Any])

    def notes(self) -> NoteCounts:
        """For the notes of the verdict."""
        overturned = self.rechecks["overturned"]
        return NoteCounts(
            distinct=self.num_distinct,
            not_measured=sorted_reasons(self.reasons),
            contaminated=self.num_contaminated,
            truncated=(self.num_truncated, self.num_lost),
            rechecked=(self.rechecks["agrees"] + overturned, overturned),
        )

    def null(self, settings: AuditSettings) -> tuple[str, MemberCounts] | None:
        """What p-values are computed from: (measure or `RUN`, counts); None where there is nothing to compare.

        The score is the best log-probability of sampling the row's next tokens under the first scheme: the event
        itself, and not the gain over the base model, which on rows unlike the base model's training data is as large
        for held-out rows. Without log-probabilities it is the longest run of the row's tokens.
        """
        for measure in (ranking_measure(settings), RUN):
            counts = self.members.get(("tuned", measure))
            if counts is not None and counts.num_members:
                return (measure, counts) if counts.nonmembers.size else None
        return None


def count(
    train: Iterable[RowSummaries],
    heldout: Iterable[RowSummaries] | None,
    settings: AuditSettings,
    *,
    with_base: bool,
    limit: int,
) -> Counts:
    """Read all blocks once, held-out rows first: training rows are counted between their scores.

    `limit`: training rows that are kept for the ranking.
    """
    counts = Counts(
        rates=RateCounts(settings, heldout is not None, with_base),
        members={},
        ranked=HighestRanked(max(limit, settings.generate_rows), settings),
        ranked_heldout=HighestRanked(settings.generate_rows, settings),
    )
    if heldout is not None:
        _count_heldout(heldout, counts, settings)
    for block in train:
        counts.rates.add_train(block)
        counts.ranked.add(block)
        for (role, measure), members in counts.members.items():
            members.add(_known(_scores(block, role, measure)))
        _add_facts(counts, block)
    return counts


def _count_heldout(blocks: Iterable[RowSummaries], counts: Counts, settings: AuditSettings) -> None:
    scores: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    measures = dict.fromkeys((*settings.measures, ranking_measure(settings)))
    for block in blocks:
        counts.rates.add_heldout(block)
        counts.ranked_heldout.add(block)
        counts.rechecks.update(_rechecks(block))
        keep = block.uncontaminated()
        counts.num_contaminated += int((~keep).sum())
        keys = [(role, m) for role in ("tuned", "base") for m in measures if f"{role}.{m}" in block.table.column_names]
        for role, measure in [*keys, ("tuned", RUN)]:
            scores.setdefault((role, measure), []).append(_scores(block, role, measure)[keep])
    counts.members = {key: MemberCounts(_known(np.concatenate(parts))) for key, parts in scores.items()}


def _scores(block: RowSummaries, role: str, measure: str) -> NDArray[np.float64]:
    return block.longest_run() if measure == RUN else block.numbers(f"{role}.{measure}")


def _add_facts(counts: Counts, block: RowSummaries) -> None:
    """What the verdict says beside the rates."""
    counts.num_train += block.num_rows
    counts.num_distinct += block.table.num_rows
    extracted = block.counts("tuned.hits") != 0
    counts.near_counted &= block.table["near"].null_count == 0
    repeated = (block.counts("copies") > 1) | (block.counts("near") > 0)
    counts.num_extracted += int(extracted.sum())
    counts.num_repeated += int((extracted & repeated).sum())
    truncated = block.counts("num_truncated") > 0
    counts.num_truncated += int(truncated.sum())
    counts.num_lost += int(block.counts("num_supervised_truncated")[truncated].sum())
    reasons = (reason for reason in block.words("tuned.reason") if reason is not None and reason != UNASKED)
    counts.reasons.update(map(without_counts, reasons))
    counts.rechecks.update(_rechecks(block))


def _rechecks(block: RowSummaries) -> Counter[Any]:
    roles = [role for role in ("tuned", "base") if block.has(role)]
    return Counter(word for role in roles for word in block.words(f"{role}.recheck") if word is not None)


def _known(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[~np.isnan(scores)]
