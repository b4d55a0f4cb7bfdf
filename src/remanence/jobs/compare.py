"""Two runs side by side: did the rate change, and which rows came or went?"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.jobs.audit.outcomes import outcomes
from remanence.jobs.audit.settings import AuditSettings
from remanence.stats.intervals import paired_difference
from remanence.stats.rates import Rate


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to the other, over the rows that both measured."""

    one: Rate
    other: Rate
    change: float
    """Rate of the other run minus that of the first; below 0 = less memorized."""
    low: float
    high: float
    came: tuple[str, ...]
    """Ids of rows that are extracted in the other run only."""
    went: tuple[str, ...]
    """Ids of rows that are extracted in the first run only."""
    notes: tuple[str, ...]

    def text(self) -> str:
        """Two sentences."""
        first = f"Of {self.one.n:,} rows, {self.one.hits:,} were extracted before and {self.other.hits:,} are now: "
        first += f"{100 * self.change:+.1f} points (95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f})."
        return f"{first} No longer extracted: {len(self.went):,}; new: {len(self.came):,}."

    def to_json(self) -> dict[str, Any]:
        """For pipes."""
        sides = {
            name: {"hits": r.hits, "n": r.n, "rate": r.rate} for name, r in (("one", self.one), ("other", self.other))
        }
        change = {"change": self.change, "low": self.low, "high": self.high}
        return sides | change | {"came": list(self.came), "went": list(self.went), "notes": list(self.notes)}


def compare_runs(one: Run, other: Run) -> Comparison:
    """Pair the rows of two audits by id. Raises `RemanenceError` when they measured no row in common."""
    before = {row.id: row.comes_back for row in outcomes(one)}
    after = {row.id: row.comes_back for row in outcomes(other)}
    both = [i for i in before if i in after]
    if not both:
        raise RemanenceError("The two runs have no measured row in common: compare audits of the same data.")
    a, b = np.array([before[i] for i in both]), np.array([after[i] for i in both])
    difference = paired_difference(b, a)
    notes: list[str] = []
    if len(both) < max(len(before), len(after)):
        notes.append(f"{len(both):,} rows were measured in both runs; the others are left out.")
    first, second = one.spec, other.spec
    if first["data"]["train"]["fingerprint"] != second["data"]["train"]["fingerprint"]:
        notes.append("The training data of the two runs differ; rows are paired by id.")
    settings = [AuditSettings.of_spec(spec["settings"]) for spec in (first, second)]  # schema version 1 has other names
    changed = sorted(f.name for f in fields(AuditSettings) if len({getattr(s, f.name) for s in settings}) == 2)
    if changed:
        notes.append(f"The settings differ in {', '.join(changed)}.")
    return Comparison(
        one=Rate.of(a),
        other=Rate.of(b),
        change=difference.value,
        low=difference.interval.low,
        high=difference.interval.high,
        came=tuple(i for i in both if after[i] and not before[i]),
        went=tuple(i for i in both if before[i] and not after[i]),
        notes=tuple(notes),
    )
