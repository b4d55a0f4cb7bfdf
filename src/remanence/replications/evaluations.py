"""Evaluations of a model after every pass of its training: rows that are extracted, and how likely rows are.

The evaluations of one way of training make two curves of `remanence.stats.front`: one of extracted rows, and a finer
one in nats. Two ways are compared under both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.target import Scores
from remanence.measure.extraction.discoverable import Discoverable
from remanence.replications.frame.figure import Row, difference, number
from remanence.stats.front import Curve, Gap, gap_at_points, gap_at_utility

ROWS, NATS = "rows extracted", "log-probability"
"""The two measures, as columns of a comparison."""


class Evaluation(NamedTuple):
    """N rows that the model may have been trained on, and H held-out rows."""

    hits_N: NDArray[np.float64]
    """1 where the row is extracted, else 0."""
    logprob_N: NDArray[np.float64]
    """Mean over the tokens that carry loss, nats."""
    heldout_hits_H: NDArray[np.float64]
    heldout_logprob_H: NDArray[np.float64]


def evaluate(target: Scores, members: Sequence[Record], heldout: Sequence[Record], measure: Discoverable) -> Evaluation:
    """One pass over the model for each side. ValueError for a row that cannot be measured: leave it out beforehand."""
    sides: list[NDArray[np.float64]] = []
    for records in (members, heldout):
        hits, logprobs = list[float](), list[float]()
        for record, row in zip(records, target.score(records, (*measure.needs, "logprob")), strict=True):
            finding = measure.find(record.id, row)
            if finding.score is None or not isinstance(row, TokenRow):
                raise ValueError(f"row {record.id!r} cannot be measured: {finding.reason}")
            hits.append(finding.score)
            logprobs.append(float(row.scored("logprob").mean()))
        sides += [np.array(hits), np.array(logprobs)]
    return Evaluation(*sides)


class Curves(NamedTuple):
    """One way of training under both measures; utility is held-out log-probability, minus the validation loss."""

    rows: Curve
    """Rows that are extracted."""
    nats: Curve
    """Log-probability gained since the first evaluation; above the held-out rows' gain, a difference in differences."""


def curves(evaluations: Sequence[Evaluation]) -> Curves:
    """The curves through the evaluations; the first is of the untouched model."""
    start = evaluations[0]
    utility = np.stack([x.heldout_logprob_H for x in evaluations])
    return Curves(
        Curve(np.stack([x.hits_N for x in evaluations]), np.stack([x.heldout_hits_H for x in evaluations]), utility),
        Curve(
            np.stack([x.logprob_N - start.logprob_N for x in evaluations]), utility - start.heldout_logprob_H, utility
        ),
    )


def compared(gaps: Sequence[Gap]) -> Row:
    """The two gaps of a comparison as figures, and the validation loss at which it was made."""
    rows, nats = gaps
    row = {
        ROWS: difference(rows.value, rows.interval, unit="share"),
        NATS: difference(nats.value, nats.interval, unit="nats"),
    }
    return row if np.isnan(rows.utility) else row | {"at validation loss": number(-rows.utility, "nats")}


def memorizes_less(row: Row) -> bool | None:
    """True or False where an interval leaves out 0; the finer measure decides where that of the rows contains it."""
    coarse = row[ROWS].below(0)
    return row[NATS].below(0) if coarse is None else coarse


def at_the_end(a: Curves, b: Curves, seed: int) -> Row:
    """a minus b after the last evaluation of each."""
    return compared([gap_at_points(x, y, seed=seed) for x, y in zip(a, b, strict=True)])


def at_equal_loss(a: Curves, b: Curves, seed: int) -> Row:
    """a minus b at the best validation loss that both reach."""
    return compared([gap_at_utility(x, y, seed=seed) for x, y in zip(a, b, strict=True)])
