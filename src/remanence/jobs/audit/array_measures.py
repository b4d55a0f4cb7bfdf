"""The measures over a whole block at once: what they say row by row, in arrays [B rows, T tokens] padded on the right.

A fast twin of the measures' own code, which stays the judge: a row in which something is missing or not a number is
left to it, and so is every reason. Sums are taken in the order in which numpy takes them of one row, so that the two
agree to the last bit, and rows that tie there tie here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.table import TokenRow
from remanence.measure.likelihood.loss import Loss
from remanence.measure.likelihood.min_k import MinK
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus
from remanence.measure.likelihood.zlib_ratio import ZlibRatio

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """The token rows of one target, padded."""

    length_B: Ints
    """Tokens of each row."""
    scored_BT: Bools
    hit_BT: Bools
    columns: Mapping[str, Floats]
    """[B, T] each; NaN beyond the row and where the table has NaN."""
    texts: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[TokenRow]) -> Batch:
        """Rows of equal columns; at least one."""
        length_B = np.array([row.rendered.ids.size for row in rows], np.int64)
        shape = len(rows), int(length_B.max())
        scored_BT, hit_BT = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        columns = {name: np.full(shape, np.nan) for name in rows[0].columns if name != "rank"}
        for b, row in enumerate(rows):
            size = length_B[b]
            first = row.rendered.first
            scored_BT[b, first:size] = row.rendered.supervised[first:]
            hit_BT[b, :size] = row.columns["rank"] == 0
            for name, values_BT in columns.items():
                values_BT[b, :size] = row.columns[name]
        return cls(length_B, scored_BT, hit_BT & scored_BT, columns, [row.text for row in rows])

    def perfect(self) -> Batch:
        """The rows as a model that is sure of every token would score them, see `findings.certain`."""
        sure = {
            name: np.where(self.scored_BT, np.inf if name == "gap" else 0.0, values)
            for name, values in self.columns.items()
        }
        return replace(self, hit_BT=self.scored_BT, columns=sure)

    def some(self, which: Sequence[int]) -> Batch:
        """Some of the rows."""
        at = np.array(which, np.int64)
        columns = {name: values[at] for name, values in self.columns.items()}
        texts = [self.texts[i] for i in which]
        return Batch(self.length_B[at], self.scored_BT[at], self.hit_BT[at], columns, texts)

    @cached_property
    def num_scored_B(self) -> Ints:
        """Tokens that carry loss and are predicted."""
        return self.scored_BT.sum(axis=1)

    @cached_property
    def start_B(self) -> Ints:
        """Index of the first token that is scored; 0 where none is."""
        return self.scored_BT.argmax(axis=1)

    def whole_B(self, column: str) -> Bools:
        """Rows that have something scored, and a number for each such token in this column."""
        missing = np.isnan(self.columns[column]) & self.scored_BT
        return (self.num_scored_B > 0) & ~missing.any(axis=1)

    def mean_B(self, column: str) -> Floats:
        """Mean over the scored tokens; 0 for a row that has none."""
        return self.reduced_B(self.columns[column], lambda values_RN: values_RN.mean(axis=1))

    def reduced_B(self, values_BT: Floats, reduce: Callable[[Floats], Floats]) -> Floats:
        """[B] what `reduce` makes of the scored values of each row, rows of equal number N together; 0 where N is 0."""
        flat = values_BT[self.scored_BT]
        begins_B = np.cumsum(self.num_scored_B) - self.num_scored_B
        out_B = np.zeros(self.num_scored_B.size)
        for size in np.unique(self.num_scored_B).tolist():
            if size:
                rows = np.flatnonzero(self.num_scored_B == size)
                out_B[rows] = reduce(flat[begins_B[rows][:, None] + np.arange(size)])
        return out_B


@dataclass(frozen=True)
class Grid:
    """What greedy decoding says at the prefix lengths [P] of the grid, and how far it gets."""

    at_BP: Ints
    """Where the row is cut."""
    cut_BP: Bools
    """Whether it can be cut there."""
    hit_BP: Bools
    run_B: Ints
    """Most hits in a row, anywhere."""
    reach_B: Ints
    room_B: Ints
    strength_B: Floats

    @classmethod
    def of(cls, batch: Batch, prefixes: Sequence[int], new_tokens: int) -> Grid:
        """`Discoverable`, `reach` and `ExtractionStrength` of rows whose gaps are whole."""
        at_BP = batch.start_B[:, None] + np.array(prefixes)
        inside_BP = at_BP + new_tokens <= batch.length_B[:, None]
        scored_BT1, hit_BT1 = _sums(batch.scored_BT), _sums(batch.hit_BT)
        cut_BP = inside_BP & (_window(scored_BT1, at_BP, new_tokens) == new_tokens)
        hit_BP = cut_BP & (_window(hit_BT1, at_BP, new_tokens) == new_tokens)
        hits_BT, scored_BT = _stretches(batch.hit_BT), _stretches(batch.scored_BT)
        there_BP = at_BP < batch.length_B[:, None]
        clipped = np.minimum(at_BP, batch.hit_BT.shape[1] - 1)
        reach_B = np.where(there_BP, np.take_along_axis(hits_BT, clipped, 1), 0).max(axis=1)
        room_B = np.where(there_BP, np.take_along_axis(scored_BT, clipped, 1), 0).max(axis=1)
        missed_BT = batch.scored_BT & ~batch.hit_BT
        last_B = np.where(missed_BT, np.arange(missed_BT.shape[1]), -1).max(axis=1)
        shown_B = np.take_along_axis(scored_BT1, last_B[:, None] + 1, 1)[:, 0]
        strength_B = 1.0 - shown_B / np.maximum(1, batch.num_scored_B)
        return cls(at_BP, cut_BP, hit_BP, hits_BT.max(axis=1), reach_B, room_B, strength_B)


def drawn(batch: Batch, column: str, grid: Grid, new_tokens: int) -> Floats:
    """[B, P] log p_z of `NPDiscoverable` at each prefix length; NaN where the row cannot be cut."""
    values = batch.columns[column]
    finite = np.isfinite(values)
    total_BT1 = _sums(np.where(finite, values, 0.0))
    lost_BT1 = _sums(~finite)
    sums = _window(total_BT1, grid.at_BP, new_tokens)
    sums = np.where(_window(lost_BT1, grid.at_BP, new_tokens) > 0, -np.inf, sums)
    return np.where(grid.cut_BP, sums, np.nan)


def _sums(values_BT: NDArray[Any]) -> NDArray[Any]:
    """[B, T + 1] sums of what stands before each place."""
    kind = np.float64 if values_BT.dtype == np.float64 else np.int64
    out = np.zeros((values_BT.shape[0], values_BT.shape[1] + 1), kind)
    np.cumsum(values_BT, axis=1, out=out[:, 1:])
    return out


def _window(sums_BT1: NDArray[Any], at_BP: Ints, size: int) -> NDArray[Any]:
    """[B, P] sum of the `size` values from each place on; of fewer where the arrays end."""
    most = sums_BT1.shape[1] - 1
    low, high = np.minimum(at_BP, most), np.minimum(at_BP + size, most)
    return np.take_along_axis(sums_BT1, high, 1) - np.take_along_axis(sums_BT1, low, 1)


def _stretches(flag_BT: Bools) -> Ints:
    """`reach.stretches` of every row."""
    place = np.arange(flag_BT.shape[1])
    stop = np.where(flag_BT, flag_BT.shape[1], place)
    return np.minimum.accumulate(stop[:, ::-1], axis=1)[:, ::-1] - place


# ------------------------------------------------------------------ likelihood


def _loss(measure: Loss, batch: Batch) -> Floats:
    return np.where(batch.whole_B("logprob"), batch.mean_B("logprob"), np.nan)


def _zlib(measure: ZlibRatio, batch: Batch) -> Floats:
    bytes_B = [len(zlib.compress(text.encode("utf-8", "surrogatepass"))) if text else 0 for text in batch.texts]
    known = batch.whole_B("logprob") & (np.array(bytes_B) > 0)
    kind = np.mean if measure.reduction == "mean" else np.sum
    value = batch.reduced_B(batch.columns["logprob"], lambda values_RN: kind(values_RN, axis=1))
    return np.where(known, value / np.maximum(1, bytes_B), np.nan)


def _lowest(values_BT: Floats, batch: Batch, fraction: float) -> Floats:
    """[B] mean of the lowest share of the scored values, as `min_k`."""

    def lowest(values_RN: Floats) -> Floats:
        kept = max(1, int(fraction * values_RN.shape[1]))
        return np.sort(values_RN, axis=1)[:, :kept].mean(axis=1)

    return batch.reduced_B(values_BT, lowest)


def _min_k(measure: MinK, batch: Batch) -> Floats:
    return np.where(batch.whole_B("logprob"), _lowest(batch.columns["logprob"], batch, measure.fraction), np.nan)


def _min_k_plus_plus(measure: MinKPlusPlus, batch: Batch) -> Floats:
    logprob, mean, std = (batch.columns[name] for name in ("logprob", "mean", "std"))
    known = batch.whole_B("logprob") & batch.whole_B("mean") & batch.whole_B("std")
    return np.where(known, _lowest((logprob - mean) / np.maximum(std, 1e-6), batch, measure.fraction), np.nan)


LIKELIHOOD: dict[type, Callable[[Any, Batch], Floats]] = {
    Loss: _loss,
    ZlibRatio: _zlib,
    MinK: _min_k,
    MinKPlusPlus: _min_k_plus_plus,
}
"""Measure -> [B] its scores; NaN for the rows that are left to the measure itself."""


def reference(batch: Batch, base: Batch, rows: Sequence[TokenRow], base_rows: Sequence[TokenRow]) -> Floats:
    """[B] `Reference`, over rows that both models scored; NaN for those that are left to it."""
    pairs = zip(rows, base_rows, strict=True)
    same = np.array([np.array_equal(a.rendered.ids, b.rendered.ids) for a, b in pairs], np.bool_)
    tuned, untuned = batch.mean_B("logprob"), base.mean_B("logprob")
    known = same & batch.whole_B("logprob") & base.whole_B("logprob") & np.isfinite(tuned) & np.isfinite(untuned)
    return np.where(known, tuned, 0.0) - np.where(known, untuned, 0.0) + np.where(known, 0.0, np.nan)
