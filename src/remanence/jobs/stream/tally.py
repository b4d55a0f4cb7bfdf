"""Rates from counts: every rate of the ordinary audit, with rows counted block by block and then forgotten.

A rate needs how many of how many; the difference to the base model on the same rows needs the four counts of the paired
table. They add up over blocks, and the intervals are taken from the sums by the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.engine.rates import Flags, rate_line
from remanence.jobs.audit.by_column import BUDGET, COLUMN, natural
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.stream.seen import Seen
from remanence.stats.intervals import newcombe_difference, paired_counts
from remanence.stats.rates import Comparison, Excess, Rate, copies_bucket, length_bucket

Verdict: TypeAlias = Callable[[Seen, str], Flags]
"""What is counted, of a block and a role."""


class Ours(NamedTuple):
    """Training rows that could be measured on the tuned model, counted."""

    hits: int = 0
    n: int = 0
    both: int = 0
    """Come back from the tuned and from the base model; the four add up to the rows that both could be measured on."""
    only_tuned: int = 0
    only_base: int = 0
    neither: int = 0
    ceiling_hits: int = 0
    ceiling_n: int = 0


class Held(NamedTuple):
    """Held-out rows of the floor, counted."""

    hits: int = 0
    n: int = 0
    base_hits: int = 0
    base_n: int = 0


class Key(NamedTuple):
    """A line of `rates.parquet`."""

    metric: str
    by: str
    value: str
    detail: str = ""


def counted(tuned: Flags, base: Flags | None, ceiling: Flags) -> Ours:
    """The counts of rows with these flags [N]: 1, 0, or NaN where a row could not be measured."""
    ours = ~np.isnan(tuned)
    said = tuned[ours] > 0.5
    top = ceiling[ours]
    pairs = (0, 0, 0, 0)
    if base is not None:
        both = ~np.isnan(base[ours])
        a, b = said[both], base[ours][both] > 0.5
        pairs = (int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))
    return Ours(int(said.sum()), said.size, *pairs, int((top > 0.5).sum()), int((~np.isnan(top)).sum()))


def compared(ours: Ours, held: Held | None, with_base: bool) -> tuple[Comparison, Rate | None]:
    """What `rates.Sides.compare` says of the same rows."""
    excess = over_base = base = floor = base_floor = None
    if held is not None:
        floor = Rate.counted(held.hits, held.n)
        excess = Excess.of(newcombe_difference(ours.hits, ours.n, held.hits, held.n))
        base_floor = Rate.counted(held.base_hits, held.base_n) if with_base else None
    if with_base:
        table = ours.both, ours.only_tuned, ours.only_base, ours.neither
        base = Rate.counted(ours.both + ours.only_base, sum(table))
        over_base = Excess.of(paired_counts(*table))
    ceiling = Rate.counted(ours.ceiling_hits, ours.ceiling_n)
    return Comparison(Rate.counted(ours.hits, ours.n), floor, base, ceiling, excess, over_base), base_floor


class RateCounts:
    """All rates of a run, counted block by block."""

    def __init__(self, settings: AuditSettings, with_heldout: bool, with_base: bool) -> None:
        self._settings, self._with_base = settings, with_base
        self._ours: dict[Key, Ours] = {}
        self._held: dict[Key, Held] | None = {} if with_heldout else None
        self._lowest: dict[tuple[str, str], int] = {}
        """(by, value) -> the lowest number of the bucket, for sorting."""
        self.values: list[Counter[str]] = [Counter() for _ in settings.by]
        """Training rows of each value of each column that rates are broken down by."""

    def add_train(self, block: Seen) -> None:
        """Count the training rows of a block."""
        base = block.has("base")
        rows = [(name, values.tolist()) for name, values in _groupings(block)]
        labels = block.words("by")
        for place, values in enumerate(self.values):
            values.update(label[place] for label in labels)
        for name, values in rows:
            for value in values:
                at = (name, _bucket(name, value))
                self._lowest[at] = min(value, self._lowest.get(at, value))
        for metric, detail, verdict, grouped in self._verdicts():
            sides = verdict(block, "tuned"), verdict(block, "base") if base else None, verdict(block, "ceiling")
            for by, value, here in self._parts(block, grouped, rows, labels):
                key = Key(metric, by, value, detail)
                part = [None if side is None else side if here is None else side[here] for side in sides]
                assert part[0] is not None and part[2] is not None
                self._ours[key] = _sum(self._ours.get(key, Ours()), counted(part[0], part[1], part[2]), Ours)

    def add_heldout(self, block: Seen) -> None:
        """Count the held-out rows of a block that belong to the floor."""
        assert self._held is not None
        keep = ~block.table["contaminated"].to_numpy().astype(bool)
        rows = [(name, v.tolist()) for name, v in _groupings(block) if name == "length"]
        labels = block.words("by")
        for metric, detail, verdict, grouped in self._verdicts():
            tuned = verdict(block, "tuned")
            base = verdict(block, "base") if block.has("base") else np.full(tuned.size, np.nan)
            for by, value, here in self._parts(block, grouped, rows, labels):
                mask = keep if here is None else keep & here
                held = Held(*_share(tuned[mask]), *_share(base[mask]))
                key = Key(metric, by, value, detail)
                self._held[key] = _sum(self._held.get(key, Held()), held, Held)

    def lines(self) -> list[dict[str, Any]]:
        """The lines of `rates.parquet`, as `rates.all_rates` and `by_column.budget_rates` order them."""
        settings = self._settings
        out = [self._line(Key("greedy", "all", "all"), 0)]
        out += [self._line(Key("greedy", "prefix", str(prefix)), prefix) for prefix in settings.prefixes]
        for by in ("length", "copies", "near"):
            buckets = sorted((low, value) for (name, value), low in self._lowest.items() if name == by)
            for low, value in buckets:
                out.append(self._line(Key("greedy", by, value), min(1, low) if by == "near" else low, by == "length"))
        for scheme in settings.schemes:
            for order, n in enumerate(settings.queries):
                out.append(self._line(Key("np", "n", str(n), f"{scheme} at p={settings.p:g}"), order))
        out += [self._line(Key("greedy", "budget", str(budget)), budget) for budget in settings.budgets]
        details = ["", *(f"{BUDGET}{budget}" for budget in settings.budgets)]
        for column, values in zip(settings.by, self.values, strict=True):
            for order, value in enumerate(sorted(values, key=natural)):
                keys = [Key("greedy", f"{COLUMN}{column}", value, detail) for detail in details]
                out += [self._line(key, order, True) for key in keys]
        return out

    def _line(self, key: Key, order: int, own_floor: bool | None = None) -> dict[str, Any]:
        """A line; the floor of copies and of near duplicates is that of all rows."""
        floor = key if own_floor is not False else Key("greedy", "all", "all")
        held = None if self._held is None else self._held.get(floor, Held())
        ours = self._ours.get(key, Ours())
        return rate_line(key.metric, key.by, key.value, order, *compared(ours, held, self._with_base), key.detail)

    def _verdicts(self) -> Iterator[tuple[str, str, Verdict, str]]:
        """(metric, detail, verdict, how its rows are grouped)."""
        settings = self._settings
        yield "greedy", "", Seen.comes_back, "all"
        for bit, prefix in enumerate(settings.prefixes):
            yield "greedy", "", lambda seen, role, bit=bit: seen.comes_back_at(role, bit), f"prefix={prefix}"
        for scheme in settings.schemes:
            name = f"np_discoverable[{scheme}]"
            for n in settings.queries:
                detail = f"{scheme} at p={settings.p:g}"
                yield "np", detail, lambda s, r, name=name, n=n: s.within(r, name, n, settings.p), f"n={n}"
        for budget in settings.budgets:
            yield "greedy", "", lambda seen, role, b=budget: seen.says(role, b), f"budget={budget}"
            if settings.by:
                yield "greedy", f"{BUDGET}{budget}", lambda seen, role, b=budget: seen.says(role, b), "columns"

    def _parts(
        self, block: Seen, grouped: str, rows: list[tuple[str, list[int]]], labels: list[Any]
    ) -> Iterator[tuple[str, str, NDArray[np.bool_] | None]]:
        """(by, value, which rows; None = all) of every line that a verdict has a share in."""
        if "=" in grouped:
            by, _, value = grouped.partition("=")
            yield by, value, None
        if grouped == "all":
            yield "all", "all", None
            for name, numbers in rows:
                buckets = np.array([_bucket(name, number) for number in numbers], object)
                for value in dict.fromkeys(buckets.tolist()):
                    yield name, value, np.asarray(buckets == value, bool)
        if grouped in {"all", "columns"}:
            for place, column in enumerate(self._settings.by):
                values = np.array([label[place] for label in labels], object)
                for value in dict.fromkeys(values.tolist()):
                    yield f"{COLUMN}{column}", value, np.asarray(values == value, bool)


def _groupings(block: Seen) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """What the rows of a block are grouped by, with a number each; near duplicates only where they were counted."""
    yield "length", block.counts("num_supervised")
    yield "copies", block.counts("copies")
    if block.table["near"].null_count == 0:
        yield "near", block.counts("near")


def _bucket(name: str, number: int) -> str:
    if name == "near":
        return "some" if number else "none"
    return length_bucket(number) if name == "length" else copies_bucket(number)


def _share(flags: Flags) -> tuple[int, int]:
    known = flags[~np.isnan(flags)]
    return int((known > 0.5).sum()), int(known.size)


def _sum(one: Any, other: Any, kind: Any) -> Any:
    return kind(*(a + b for a, b in zip(one, other, strict=True)))
