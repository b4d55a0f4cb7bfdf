"""One reading of the block tables: rates, membership, worst rows and notes, with one block in memory at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.run import Run
from remanence.jobs.audit.membership import FPRS, lines_of
from remanence.jobs.audit.notes import Tally, alike, sorted_reasons
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.stream.seen import Seen, drawn, seen
from remanence.jobs.stream.tally import RateCounts
from remanence.jobs.stream.worst import Worst
from remanence.stats.member_counts import MemberCounts


@dataclass
class Counts:
    """What the blocks of a run add up to."""

    rates: RateCounts
    members: dict[tuple[str, str], MemberCounts]
    """(role, measure) -> training rows between held-out ones; none without held-out rows."""
    worst: Worst
    """Training rows."""
    worst_held: Worst
    num_train: int = 0
    num_distinct: int = 0
    num_back: int = 0
    """Training rows that come back."""
    num_repeated: int = 0
    """How many of those stand in the data more than once."""
    near_counted: bool = True
    num_contaminated: int = 0
    num_cut: int = 0
    num_lost: int = 0
    """Tokens that would have carried loss in those rows."""
    reasons: Counter[str] = field(default_factory=Counter[str])
    rechecks: Counter[Any] = field(default_factory=Counter[Any])

    def notes(self) -> Tally:
        """For the notes of the verdict."""
        overturned = self.rechecks["overturned"]
        return Tally(
            distinct=self.num_distinct,
            not_measured=sorted_reasons(self.reasons),
            contaminated=self.num_contaminated,
            cut=(self.num_cut, self.num_lost),
            again=(self.rechecks["agrees"] + overturned, overturned),
        )

    def null(self, settings: AuditSettings) -> MemberCounts | None:
        """What p-values are taken from, as `ranking.significance`; None where there is nothing to compare."""
        found = self.members.get(("tuned", drawn(settings)))
        return found if found is not None and found.num_members and found.nonmembers.size else None

    def membership_lines(self, settings: AuditSettings) -> list[dict[str, Any]]:
        """The lines of `membership.parquet` for both models, as `membership.quality_lines` orders them."""
        out: list[dict[str, Any]] = []
        for role in ("tuned", "base"):
            for measure in settings.measures:
                counts = self.members.get((role, measure))
                if counts is None:
                    continue
                start: dict[str, Any] = {
                    "target": role,
                    "measure": measure,
                    "num_members": counts.num_members,
                    "num_nonmembers": counts.nonmembers.size,
                }
                try:
                    out += lines_of(start, counts.quality(FPRS))
                except NotMeasured as why:
                    out += lines_of(start, why.reason)
        return out


def count(run: Run, settings: AuditSettings, worst: int, *, with_heldout: bool, with_base: bool) -> Counts:
    """Read all blocks of a run once, held-out rows first: training rows are counted between their scores."""
    limit = max(worst, settings.attempts)
    found = Counts(
        rates=RateCounts(settings, with_heldout, with_base),
        members={},
        worst=Worst(limit, settings),
        worst_held=Worst(settings.attempts, settings),
    )
    if with_heldout:
        _count_heldout(run, found, settings)
    for block in seen(run, "train"):
        found.rates.add_train(block)
        found.worst.add(block)
        for (role, measure), counts in found.members.items():
            counts.add(_known(block.numbers(f"{role}.{measure}")))
        _note(found, block)
    return found


def _count_heldout(run: Run, found: Counts, settings: AuditSettings) -> None:
    scores: dict[tuple[str, str], list[NDArray[np.float64]]] = {}
    for block in seen(run, "heldout"):
        found.rates.add_heldout(block)
        found.worst_held.add(block)
        found.rechecks.update(_rechecks(block))
        keep = ~np.asarray(block.words("contaminated"), bool)
        found.num_contaminated += int((~keep).sum())
        for role in ("tuned", "base"):
            for measure in dict.fromkeys((*settings.measures, drawn(settings))):
                if f"{role}.{measure}" in block.table.column_names:
                    scores.setdefault((role, measure), []).append(block.numbers(f"{role}.{measure}")[keep])
    found.members = {key: MemberCounts(_known(np.concatenate(parts))) for key, parts in scores.items()}


def _note(found: Counts, block: Seen) -> None:
    """Whatever the verdict tells beside the rates."""
    found.num_train += block.lines
    found.num_distinct += block.table.num_rows
    back = block.counts("tuned.hits") != 0
    found.near_counted &= block.table["near"].null_count == 0
    often = (block.counts("copies") > 1) | (block.counts("near") > 0)
    found.num_back += int(back.sum())
    found.num_repeated += int((back & often).sum())
    cut = block.counts("num_truncated") > 0
    found.num_cut += int(cut.sum())
    found.num_lost += int(block.counts("num_supervised_truncated")[cut].sum())
    found.reasons.update(alike(reason) for reason in block.words("tuned.reason") if reason is not None)
    found.rechecks.update(_rechecks(block))


def _rechecks(block: Seen) -> Counter[Any]:
    roles = [role for role in ("tuned", "base") if block.has(role)]
    return Counter(word for role in roles for word in block.words(f"{role}.recheck") if word is not None)


def _known(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[~np.isnan(scores)]
