"""From token tables to outcomes: would the next n tokens after a split come back, greedily or within so many samples?

Everything is counted on the table of one pass: greedy decoding says a stretch exactly when each of its tokens has rank
0 given the true past, and a stretch's probability under a sampling scheme is the sum of its log-probabilities.

Shapes: R rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.jobs.study.settings import StudySettings, split_at
from remanence.measure.extraction.np_discoverable import prob_extracted

Values = NDArray[np.float32]
"""[R] 1 or 0 (or a number); NaN = not measurable, which is in no denominator."""
ANY = "any"
"""The split label of a row that comes back at one split or more."""


@dataclass(frozen=True)
class Cell:
    """What is counted: a metric on a side of the row, at a split and a budget."""

    metric: str
    """greedy; sampled; nats (mean log-probability); calibrated-own, calibrated-any, pan2015-own, pan2015-any (answers
    cut to the budget, flagged by a detector as the own row's, or as any training row's); published (pan2015 on every
    answer in full, as in the paper)."""
    side: str
    """input or output."""
    prefix: str = ""
    budget: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Probe:
    """The token row of a measured row, and where its sides lie."""

    row: TokenRow | str
    """A string says why there is none."""
    boundary: int
    """Index of the first token of the output."""

    def side(self, side: str) -> tuple[int, int] | None:
        """[low, high) of a side among the tokens that are predicted; None where the table has none of it."""
        if isinstance(self.row, str):
            return None
        rendered = self.row.rendered
        if rendered.source is not None:  # an encoder reads the input; nothing predicts it
            return (0, int(rendered.ids.size)) if side == "output" else None
        low, high = (rendered.first, self.boundary) if side == "input" else (self.boundary, int(rendered.ids.size))
        return (low, high) if high > low else None


def outcomes(probes: Sequence[Probe], settings: StudySettings) -> Iterator[tuple[Cell, Values]]:
    """Every cell that the token tables decide, with its values [R]."""
    for side in ("input", "output"):
        spans = [probe.side(side) for probe in probes]
        if not any(spans):
            continue
        yield Cell("nats", side), _mean_logprob(probes, spans)
        hits = [_sums(p.row.columns["rank"] == 0) if isinstance(p.row, TokenRow) else None for p in probes]
        yield from _over_splits("greedy", side, hits, spans, settings, lambda run, n: run == n)
        for name in settings.schemes:
            column = SamplingScheme.parse(name).column
            logs = [_sums(p.row.columns[column]) if isinstance(p.row, TokenRow) else None for p in probes]
            for samples in settings.queries:
                yield from _over_splits(
                    "sampled", side, logs, spans, settings,
                    lambda log_p, n, samples=samples: prob_extracted(log_p, samples) >= settings.p,
                    f"{name}, n={samples}",
                )  # fmt: skip


def _over_splits(
    metric: str,
    side: str,
    sums: Sequence[NDArray[np.float64] | None],
    spans: Sequence[tuple[int, int] | None],
    settings: StudySettings,
    comes_back: Any,
    detail: str = "",
) -> Iterator[tuple[Cell, Values]]:
    for budget in settings.budgets:
        by_split: list[Values] = []
        for prefix in settings.prefixes:
            runs = np.full(len(spans), np.nan)
            for i, (total, span) in enumerate(zip(sums, spans, strict=True)):
                at = None if span is None else span[0] + split_at(prefix, span[1] - span[0])
                if total is not None and span is not None and at is not None and at + budget <= span[1]:
                    runs[i] = total[at + budget] - total[at]
            known = ~np.isnan(runs)
            values = np.full(len(spans), np.nan, np.float32)
            values[known] = comes_back(runs[known], budget)
            by_split.append(values)
            yield Cell(metric, side, prefix, budget, detail), values
        yield Cell(metric, side, ANY, budget, detail), _any(np.stack(by_split))


def _any(values_SR: NDArray[np.float32]) -> Values:
    """[R] 1 where some split is 1; NaN only where every split is NaN."""
    none = np.isnan(values_SR).all(axis=0)
    return np.where(none, np.nan, (values_SR == 1).any(axis=0)).astype(np.float32)


def _mean_logprob(probes: Sequence[Probe], spans: Sequence[tuple[int, int] | None]) -> Values:
    """[R] mean log-probability of a side's tokens, nats; higher = more likely."""
    out = np.full(len(probes), np.nan, np.float32)
    for i, (probe, span) in enumerate(zip(probes, spans, strict=True)):
        if span is not None and isinstance(probe.row, TokenRow):
            out[i] = float(np.mean(probe.row.columns["logprob"][span[0] : span[1]].astype(np.float64)))
    return out


def _sums(values_T: NDArray[Any]) -> NDArray[np.float64]:
    """[T + 1] sums of the first t values; what stands before the first predicted token counts as 0."""
    return np.concatenate(([0.0], np.cumsum(np.nan_to_num(values_T.astype(np.float64), nan=0.0, neginf=-1e9))))
