"""A model of a forgetting in the figures that decide: what is extracted above its floor, what is gone, at what price.

They are taken from the whole evaluation, whose held-out rows no method has seen; where there is none, from the state on
its path, which was looked at with the rows that guide.
"""

from __future__ import annotations

from typing import NamedTuple

from remanence.report.forget import BEFORE, Forget
from remanence.report.words import Line, Share, number
from remanence.stats.intervals import newcombe_difference
from remanence.stats.rates import Rate


class Ends(NamedTuple):
    """A number with its interval; None where that is not known."""

    value: float
    low: float | None
    high: float | None


class Judged(NamedTuple):
    """What is known of one model."""

    forget: Share | None
    """Rows to forget that are extracted."""
    floor: Share | None
    excess: Ends | None
    removed: float | None
    """Share of the excess before that is gone; above 1 for a model below its floor."""
    rise: Ends | None
    """Of the held-out loss, relative to before."""
    untouched: Share | None
    auc: Ends | None
    within: bool
    """Whether the price stays within the limit."""


def judged(forget: Forget, model: str) -> Judged | None:
    """None for a model of which no state was kept."""
    point = forget.chosen(model)
    if point is None:
        return None
    told = (forget.verdict.get("judged") or {}).get(model) or {}
    metric = "generated_exact" if told.get("kind") == "decoding" else "discoverable"
    rate, floor, excess = _memory(forget, model, point, metric)
    before_point = forget.reference(BEFORE)
    before = None if before_point is None else _memory(forget, BEFORE, before_point, metric)[2]
    removed = None
    if excess is not None and before is not None and before.value > 0:
        removed = 1 - excess.value / before.value
    auc = ends(forget.score(model, "forget", "auc_loss"), "value", "low", "high")
    return Judged(
        forget=rate,
        floor=floor,
        excess=excess,
        removed=removed,
        rise=_rise(forget, model, point),
        untouched=_scored(forget, model, "untouched", metric) or counted(point, "untouched_"),
        auc=auc or ends(point, "auc"),
        within=bool(told.get("within", point["within"])),
    )


def counted(line: Line | None, prefix: str) -> Share | None:
    """The share that stands in a state as two counts, with its exact interval; None where it was not looked at."""
    if line is None or not line.get(f"{prefix}n"):
        return None
    rate = Rate.counted(line[f"{prefix}hits"], line[f"{prefix}n"])
    return Share(rate.hits, rate.n, rate.rate, rate.low, rate.high)


def seconds(forget: Forget, model: str) -> float | None:
    """How long the path took of which a state was kept."""
    spent = [number(point.get("seconds")) for point in forget.points if point["method"] == model]
    known = [s for s in spent if s is not None]
    if known:
        return max(known)
    if not forget.run.has("seconds.json"):
        return None
    slug = ((forget.verdict.get("judged") or {}).get(model) or {}).get("slug", model)
    return number(forget.run.read_json("seconds.json").get(slug))


def _memory(forget: Forget, model: str, point: Line, metric: str) -> tuple[Share | None, Share | None, Ends | None]:
    """Extracted rows among those to forget and among held-out rows, and the difference."""
    rate, floor = _scored(forget, model, "forget", metric), _scored(forget, model, "heldout", metric)
    if rate is None or floor is None:
        return counted(point, "forget_"), counted(point, "floor_"), ends(point, "excess")
    excess = newcombe_difference(rate.hits, rate.n, floor.hits, floor.n)
    return rate, floor, Ends(excess.value, *excess.interval)


def _scored(forget: Forget, model: str, side: str, metric: str) -> Share | None:
    line = forget.score(model, side, metric)
    if line is None or not line["n"] or line["hits"] is None:
        return None
    rate = Rate.counted(line["hits"], line["n"])
    return Share(rate.hits, rate.n, rate.rate, rate.low, rate.high)


def _rise(forget: Forget, model: str, point: Line) -> Ends | None:
    now, before = (forget.score(name, "heldout", "loss") for name in (model, BEFORE))
    loss, first = (number(line["value"]) if line else None for line in (now, before))
    if loss is None or not first:
        return ends(point, "loss_rise")
    return Ends(loss / first - 1, None, None)


def ends(line: Line | None, name: str, low: str = "", high: str = "") -> Ends | None:
    """What stands in a line under a name, `NAME_low` and `NAME_high`; None where there is none."""
    found = number(line.get(name)) if line else None
    if line is None or found is None:
        return None
    return Ends(found, number(line.get(low or f"{name}_low")), number(line.get(high or f"{name}_high")))
