"""Looks at a model while it learns: which rows come back, how likely they are, and the same of rows it never saw.

A look is taken after every pass; the looks of one way of training make two curves of `remanence.stats.front`, one of
the rows that come back and a finer one in nats, and two ways are compared under both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.target import Scores
from remanence.measure.extraction.discoverable import Discoverable
from remanence.stats.front import Curve, Gap, gap_at_points, gap_at_utility


class Look(NamedTuple):
    """What a model makes of N rows that it may have been trained on, and of H held-out rows."""

    hits_N: NDArray[np.float64]
    """1 where the row comes back, else 0."""
    logprob_N: NDArray[np.float64]
    """Mean over the tokens that carry loss, nats."""
    heldout_hits_H: NDArray[np.float64]
    heldout_logprob_H: NDArray[np.float64]


def look(target: Scores, members: Sequence[Record], heldout: Sequence[Record], measure: Discoverable) -> Look:
    """One pass over the model for each side. ValueError for a row that cannot be measured: leave it out beforehand."""
    sides: list[NDArray[np.float64]] = []
    for records in (members, heldout):
        hits, logprobs = list[float](), list[float]()
        for record, row in zip(records, target.score(records, (*measure.needs, "logprob")), strict=True):
            found = measure.find(record.id, row)
            if found.score is None or not isinstance(row, TokenRow):
                raise ValueError(f"row {record.id!r} cannot be measured: {found.reason}")
            hits.append(found.score)
            logprobs.append(float(row.scored("logprob").mean()))
        sides += [np.array(hits), np.array(logprobs)]
    return Look(*sides)


class Curves(NamedTuple):
    """One way of training under both measures; utility is held-out log-probability, minus the validation loss."""

    rows: Curve
    """Rows that come back."""
    nats: Curve
    """Log-probability gained over the first look; above the held-out rows' gain, a difference in differences."""


def curves(looks: Sequence[Look]) -> Curves:
    """The curves through the looks; the first is at the untouched model."""
    start = looks[0]
    utility = np.stack([x.heldout_logprob_H for x in looks])
    return Curves(
        Curve(np.stack([x.hits_N for x in looks]), np.stack([x.heldout_hits_H for x in looks]), utility),
        Curve(np.stack([x.logprob_N - start.logprob_N for x in looks]), utility - start.heldout_logprob_H, utility),
    )


class Gaps(NamedTuple):
    """One way of training minus another, under both measures."""

    rows: Gap
    nats: Gap

    @property
    def sign(self) -> str:
        """less, more or unclear; the finer measure speaks where the interval of the first holds 0."""
        return next((sign for sign in map(sign_of, self) if sign != "unclear"), "unclear")

    @property
    def said(self) -> str:
        """In words, with figures."""
        (low, high), (below, above) = self.rows.interval, self.nats.interval
        rows = f"{self.rows.value:+.0%} of rows, {low:+.0%} to {high:+.0%}"
        return f"{self.sign} ({rows}; {self.nats.value:+.2f} nats, {below:+.2f} to {above:+.2f})"

    def figures(self) -> dict[str, Any]:
        """For a verdict's figures."""
        return {"sign": self.sign, "rows": self.rows._asdict(), "nats": self.nats._asdict()}


def sign_of(gap: Gap) -> str:
    """less or more where the interval leaves out 0, else unclear."""
    return "less" if gap.interval.high < 0 else "more" if gap.interval.low > 0 else "unclear"


def gaps_at_the_end(a: Curves, b: Curves, seed: int) -> Gaps:
    """After the last look of each."""
    return Gaps(*(gap_at_points(x, y, seed=seed) for x, y in zip(a, b, strict=True)))


def gaps_at_equal_loss(a: Curves, b: Curves, seed: int) -> Gaps:
    """At the best validation loss that both reach."""
    return Gaps(*(gap_at_utility(x, y, seed=seed) for x, y in zip(a, b, strict=True)))
