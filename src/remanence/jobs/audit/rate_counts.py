"""All rates of an audit, counted block by block: overall, by prefix length, length, duplicates, samples and columns.

A row is extracted when greedy decoding generates its next `new_tokens` tokens at some prefix length of the grid; at a
budget of n tokens, when it generates the next n. A row with fewer tokens is not measurable there: it is in no
denominator, never a zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.engine.rates import Flags, HeldoutCounts, TrainCounts, compare_counts, rate_line
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import RowSummaries
from remanence.stats.rates import copies_bucket, length_bucket

COLUMN = "column:"
"""Prefix of a column's name in `by`, so that a column may be called length or copies."""
BUDGET = "budget="
"""Prefix of the budget in `detail`."""

Verdict: TypeAlias = Callable[[RowSummaries, str], Flags]
"""What is counted: the verdicts on the rows of a block for a role (tuned, base, ceiling)."""


class Key(NamedTuple):
    """A line of `rates.parquet`."""

    metric: str
    by: str
    value: str
    detail: str = ""


class RateCounts:
    """Counts behind every line of `rates.parquet`."""

    def __init__(self, settings: AuditSettings, with_heldout: bool, with_base: bool) -> None:
        self._settings, self._with_base = settings, with_base
        self._train: dict[Key, TrainCounts] = {}
        self._heldout: dict[Key, HeldoutCounts] | None = {} if with_heldout else None
        self._lowest: dict[tuple[str, str], int] = {}
        """(by, value) -> the lowest number of the bucket, for sorting."""
        self.values: list[Counter[str]] = [Counter() for _ in settings.by]
        """Number of training rows with each value of each column that rates are broken down by."""

    def add_train(self, block: RowSummaries) -> None:
        """Count the training rows of a block."""
        with_base = block.has("base")
        numbers = [(name, values.tolist()) for name, values in _numbers(block)]
        labels = block.words("by")
        for place, counter in enumerate(self.values):
            counter.update(label[place] for label in labels)
        for name, values in numbers:
            for value in values:
                bucket = (name, _bucket(name, value))
                self._lowest[bucket] = min(value, self._lowest.get(bucket, value))
        for metric, detail, verdict, breakdown in self._verdicts():
            tuned, ceiling = verdict(block, "tuned"), verdict(block, "ceiling")
            base = verdict(block, "base") if with_base else None
            for by, value, mask in self._parts(breakdown, numbers, labels):
                key = Key(metric, by, value, detail)
                here = slice(None) if mask is None else mask
                counts = TrainCounts.of(tuned[here], None if base is None else base[here], ceiling[here])
                self._train[key] = self._train.get(key, TrainCounts()).plus(counts)

    def add_heldout(self, block: RowSummaries) -> None:
        """Count the held-out rows of a block that do not occur in the training data."""
        assert self._heldout is not None
        keep = block.uncontaminated()
        numbers = [(name, values.tolist()) for name, values in _numbers(block) if name == "length"]
        labels = block.words("by")
        for metric, detail, verdict, breakdown in self._verdicts():
            tuned = verdict(block, "tuned")
            base = verdict(block, "base") if block.has("base") else None
            for by, value, mask in self._parts(breakdown, numbers, labels):
                here = keep if mask is None else keep & mask
                key = Key(metric, by, value, detail)
                counts = HeldoutCounts.of(tuned[here], None if base is None else base[here])
                self._heldout[key] = self._heldout.get(key, HeldoutCounts()).plus(counts)

    def lines(self) -> list[dict[str, Any]]:
        """The lines of `rates.parquet`."""
        settings = self._settings
        lines = [self._line(Key("greedy", "all", "all"), 0)]
        lines += [self._line(Key("greedy", "prefix", str(prefix)), prefix) for prefix in settings.prefixes]
        for by in ("length", "copies", "near"):
            buckets = sorted((low, value) for (name, value), low in self._lowest.items() if name == by)
            for low, value in buckets:
                order = min(1, low) if by == "near" else low
                lines.append(self._line(Key("greedy", by, value), order, own_floor=by == "length"))
        for scheme in settings.schemes:
            for order, n in enumerate(settings.queries):
                lines.append(self._line(Key("np", "n", str(n), f"{scheme} at p={settings.p:g}"), order))
        lines += [self._line(Key("greedy", "budget", str(budget)), budget) for budget in settings.budgets]
        details = ["", *(f"{BUDGET}{budget}" for budget in settings.budgets)]
        for column, values in zip(settings.by, self.values, strict=True):
            for order, value in enumerate(sorted(values, key=natural_order)):
                keys = [Key("greedy", f"{COLUMN}{column}", value, detail) for detail in details]
                lines += [self._line(key, order) for key in keys]
        return lines

    def _line(self, key: Key, order: int, *, own_floor: bool = True) -> dict[str, Any]:
        """A line; copies and near duplicates are compared with the floor of all rows."""
        floor = key if own_floor else Key("greedy", "all", "all")
        heldout = None if self._heldout is None else self._heldout.get(floor, HeldoutCounts())
        counts = compare_counts(self._train.get(key, TrainCounts()), heldout, with_base=self._with_base)
        return rate_line(key.metric, key.by, key.value, order, *counts, key.detail)

    def _verdicts(self) -> Iterator[tuple[str, str, Verdict, str]]:
        """(metric, detail, verdict, how its rows are broken down)."""
        settings = self._settings
        yield "greedy", "", RowSummaries.extracted, "all"
        for bit, prefix in enumerate(settings.prefixes):
            yield "greedy", "", lambda block, role, bit=bit: block.extracted_at(role, bit), f"prefix={prefix}"
        for scheme in settings.schemes:
            detail = f"{scheme} at p={settings.p:g}"
            for n in settings.queries:
                yield "np", detail, partial(_sampled, scheme=scheme, n=n, p=settings.p), f"n={n}"
        for budget in settings.budgets:
            yield "greedy", "", lambda block, role, b=budget: block.extracted_tokens(role, b), f"budget={budget}"
            if settings.by:
                detail = f"{BUDGET}{budget}"
                yield "greedy", detail, lambda block, role, b=budget: block.extracted_tokens(role, b), "columns"

    def _parts(
        self, breakdown: str, numbers: list[tuple[str, list[int]]], labels: list[Any]
    ) -> Iterator[tuple[str, str, NDArray[np.bool_] | None]]:
        """(by, value, mask of the rows; None = all rows) of every line that a verdict contributes to."""
        if "=" in breakdown:
            by, _, value = breakdown.partition("=")
            yield by, value, None
        if breakdown == "all":
            yield "all", "all", None
            for name, values in numbers:
                buckets = np.array([_bucket(name, number) for number in values], object)
                for value in dict.fromkeys(buckets.tolist()):
                    yield name, value, np.asarray(buckets == value, bool)
        if breakdown in {"all", "columns"}:
            for place, column in enumerate(self._settings.by):
                for value, mask in masks_by_value([label[place] for label in labels]):
                    yield f"{COLUMN}{column}", value, mask


def masks_by_value(values: list[str]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """(value, mask of the rows that have it) of each value, numbers by size and words in alphabetical order."""
    array = np.array(values, object)
    for value in sorted(set(values), key=natural_order):
        yield value, np.asarray(array == value, bool)


def natural_order(value: str) -> tuple[int, float, str]:
    """Sort key: numbers by size, then words in alphabetical order."""
    try:
        number = float(value)
    except ValueError:
        return (1, 0.0, value)
    return (0, number, value) if np.isfinite(number) else (1, 0.0, value)


def _sampled(block: RowSummaries, role: str, scheme: str, n: int, p: float) -> Flags:
    return block.sampled_within(role, f"np_discoverable[{scheme}]", n, p)


def _numbers(block: RowSummaries) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Numbers by which the rows of a block are grouped; near duplicates only where they were counted."""
    yield "length", block.counts("num_supervised")
    yield "copies", block.counts("copies")
    if block.table["near"].null_count == 0:
        yield "near", block.counts("near")


def _bucket(name: str, number: int) -> str:
    if name == "near":
        return "some" if number else "none"
    return length_bucket(number) if name == "length" else copies_bucket(number)
