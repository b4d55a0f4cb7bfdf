"""From findings to rates: none without its count, interval, floor, base, ceiling and excess."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.engine.rates import Flags, rate_line
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.extraction.np_discoverable import prob_extracted
from remanence.stats.rates import Comparison, Rate, compare, copies_bucket, length_bucket


@dataclass(frozen=True)
class Sides:
    """One verdict per row, on every side of the comparison; None where the side was not given."""

    tuned: Flags
    floor: Flags | None
    base: Flags | None
    base_floor: Flags | None
    ceiling: Flags | None

    @classmethod
    def of(
        cls, found: dict[tuple[str, str], Found], keep_H: NDArray[np.bool_], verdict: Callable[[Found], Flags]
    ) -> Sides:
        """Apply a verdict to every side; held-out rows that stand in the training data are left out of the floor."""

        def side(role: str, group: str) -> Flags | None:
            those = found.get((role, group))
            if those is None:
                return None
            flags = verdict(those)
            return flags if group == "train" else flags[keep_H]

        tuned = side("tuned", "train")
        assert tuned is not None
        return cls(
            tuned, side("tuned", "heldout"), side("base", "train"), side("base", "heldout"), side("ceiling", "train")
        )

    def where(self, train_N: NDArray[np.bool_], heldout_H: NDArray[np.bool_] | None) -> Sides:
        """Only some rows; `heldout_H` None keeps every held-out row."""

        def pick(flags: Flags | None, mask: NDArray[np.bool_] | None) -> Flags | None:
            return flags if flags is None or mask is None else flags[mask]

        tuned = pick(self.tuned, train_N)
        assert tuned is not None
        return Sides(
            tuned,
            pick(self.floor, heldout_H),
            pick(self.base, train_N),
            pick(self.base_floor, heldout_H),
            pick(self.ceiling, train_N),
        )

    def compare(self) -> tuple[Comparison, Rate | None]:
        """The comparison over the rows that could be measured, and the base model's rate on held-out rows.

        The base model is compared on those of them that it could be measured on too.
        """
        ours = ~np.isnan(self.tuned)
        result = compare(
            self.tuned[ours] > 0.5,
            floor=None if self.floor is None else _clean(self.floor),
            ceiling=None if self.ceiling is None else _clean(self.ceiling[ours]),
        )
        if self.base is not None:
            both = ours & ~np.isnan(self.base)
            beside = compare(self.tuned[both] > 0.5, base=self.base[both] > 0.5)
            result = replace(result, base=beside.base, excess_over_base=beside.excess_over_base)
        return result, None if self.base_floor is None else Rate.of(_clean(self.base_floor))


def _clean(flags: Flags) -> NDArray[np.bool_]:
    return flags[~np.isnan(flags)] > 0.5


def comes_back(found: Found) -> Flags:
    """Greedy decoding says the row's next tokens at some prefix length of the grid."""
    return found.scores("discoverable")


def comes_back_at(prefix: int) -> Callable[[Found], Flags]:
    """The same at one prefix length; NaN for rows that cannot be cut there."""

    def verdict(found: Found) -> Flags:
        at = [f.evidence.get("at", {}) for f in found.by_measure["discoverable"]]
        return np.array([np.nan if prefix not in a else float(a[prefix]) for a in at], np.float64)

    return verdict


def within(measure: str, n: int, p: float) -> Callable[[Found], Flags]:
    """(n,p)-discoverable: n samples say it with probability p at the best prefix length of the grid."""

    def verdict(found: Found) -> Flags:
        log_p = found.scores(measure)
        return np.where(np.isnan(log_p), np.nan, (prob_extracted(log_p, n) >= p).astype(np.float64))

    return verdict


@dataclass(frozen=True)
class RowFacts:
    """What the breakdowns go by, row by row."""

    place: Sequence[int]
    """Position in the data, from 0."""
    length: Sequence[int]
    copies: Sequence[int]
    near: Sequence[int]
    by: Sequence[tuple[str, ...]]
    """Value of each column that the user named."""


def all_rates(
    found: dict[tuple[str, str], Found],
    train: RowFacts,
    heldout: RowFacts | None,
    keep_H: NDArray[np.bool_],
    settings: AuditSettings,
) -> list[dict[str, Any]]:
    """The lines of `rates.parquet`."""
    greedy = Sides.of(found, keep_H, comes_back)
    lines = [line("greedy", "all", "all", 0, greedy)]
    lines += [
        line("greedy", "prefix", str(prefix), prefix, Sides.of(found, keep_H, comes_back_at(prefix)))
        for prefix in settings.prefixes
    ]
    held_length = None if heldout is None else [n for n, k in zip(heldout.length, keep_H, strict=True) if k]
    for bucket, order in _buckets(train.length, length_bucket):
        here = np.array([length_bucket(n) == bucket for n in train.length])
        there = None if held_length is None else np.array([length_bucket(n) == bucket for n in held_length], bool)
        lines.append(line("greedy", "length", bucket, order, greedy.where(here, there)))
    for bucket, order in _buckets(train.copies, copies_bucket):
        here = np.array([copies_bucket(n) == bucket for n in train.copies])
        lines.append(line("greedy", "copies", bucket, order, greedy.where(here, None)))
    for label, order, here in (("none", 0, np.array(train.near) == 0), ("some", 1, np.array(train.near) > 0)):
        if here.any():
            lines.append(line("greedy", "near", label, order, greedy.where(here, None)))
    for scheme in settings.schemes:
        for order, n in enumerate(settings.queries):
            sides = Sides.of(found, keep_H, within(f"np_discoverable[{scheme}]", n, settings.p))
            lines.append(line("np", "n", str(n), order, sides, f"{scheme} at p={settings.p:g}"))
    return lines


def _buckets(values: Sequence[int], bucket: Callable[[int], str]) -> list[tuple[str, int]]:
    lowest: dict[str, int] = {}
    for value in sorted(values):
        lowest.setdefault(bucket(value), value)
    return list(lowest.items())


def line(metric: str, by: str, value: str, order: int, sides: Sides, detail: str = "") -> dict[str, Any]:
    """One line of `rates.parquet`, of sides that speak of the same rows."""
    return rate_line(metric, by, value, order, *sides.compare(), detail)
