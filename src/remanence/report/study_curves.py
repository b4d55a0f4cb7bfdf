"""Memorization against validation loss, and loss against epochs: compared at equal usefulness, not equal epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from remanence.report.study import Kind, Study, Variant, family, kind_of, slug, variant_of
from remanence.report.study_charts import Point, Scale, Trace, plane, steps
from remanence.report.words import Line, points
from remanence.stats.intervals import newcombe_difference

COLOURS = 8
"""Colours of families, `t0` to `t7`; more families begin again."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 4")
"""Tasks of one family, and further ways of training, are told apart by these."""


@dataclass(frozen=True)
class At:
    """One seed, or the mean over seeds, after an epoch."""

    epoch: int
    train: float
    """Loss on training rows, nats per token."""
    heldout: float
    """Validation loss: on rows never trained on."""
    memory: float
    """Share of training rows that are extracted minus that of held-out rows; NaN = not measurable."""
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Course:
    """How a task was learned."""

    task: str
    detail: str
    kind: str
    """The class that colours it."""
    dash: str
    mean: list[At]
    seeds: list[list[At]]

    @property
    def label(self) -> str:
        """Its name in a legend."""
        return f"{self.task}, {self.detail}" if self.detail else self.task


@dataclass(frozen=True)
class Curves:
    """The pictures and numbers of a kind of training."""

    about: str
    against: Markup | None
    """Memorization against validation loss."""
    legend: list[tuple[str, str, str]]
    """(class, dash, name) of each line."""
    losses: list[tuple[str, Markup]]
    table: list[dict[str, Any]]


def curves(study: Study, kind: Kind) -> Curves | None:
    """What `arms/*/curve.parquet` say; None where no arm has one."""
    found = [course for course in _courses(study, kind) if course.mean]
    if not found:
        return None
    budget = next(iter(_lines(study, kind)), {}).get("budget")
    what = f"the next {budget} tokens" if budget else "the next tokens"
    about = (
        f"Memorization: share of training rows of which {what} are extracted at some split, minus the same of "
        "rows never trained on. Left is a model that does better on unseen rows; a dot is an epoch, thick lines are "
        "means over seeds, thin ones single seeds, and upright bars 95 % intervals (Newcombe, counts pooled over "
        "seeds)."
    )
    traces = [trace for course in found for trace in _against(course)]
    drawn = None
    if traces:
        drawn = plane(f"{kind.label}: memorization against validation loss", traces, "validation loss, nats per token",
                      "memorization, points", unit=0.01, zero=True)  # fmt: skip
    same = steps(v for course in found for line in (course.mean, *course.seeds) for at in line for v in _loss(at))
    legend = [(course.kind, course.dash, course.label) for course in found]
    return Curves(about, drawn, legend, [(c.label, _losses(c, same)) for c in found], _table(found))


def _loss(at: At) -> tuple[float, float]:
    return at.train, at.heldout


def _courses(study: Study, kind: Kind) -> Iterator[Course]:
    main = study.variants(kind)[0]
    families = list(dict.fromkeys(family(task) for task in study.tasks))
    used: dict[str, int] = {}
    for task in study.tasks:
        for variant in study.variants(kind):
            seeds = [lines for arm in _arms(study, kind, task, variant) if (lines := _curve(study, arm))]
            if not seeds:
                continue
            nth = used.setdefault(family(task), -1) + 1
            used[family(task)] = nth
            colour = f"t{families.index(family(task)) % COLOURS}"
            mean = _mean(seeds)
            each = [[_of_seed(pair) for pair in lines] for lines in seeds] if len(seeds) > 1 else []
            yield Course(task, variant.beside(main), colour, DASHES[nth % len(DASHES)], mean, each)


def _arms(study: Study, kind: Kind, task: str, variant: Variant) -> list[Line]:
    return [arm for arm in study.arms if (kind_of(arm), arm["task"], variant_of(arm)) == (kind, task, variant)]


def _lines(study: Study, kind: Kind) -> Iterator[Line]:
    for arm in study.arms:
        name = f"arms/{slug(arm)}/curve"
        if kind_of(arm) == kind and study.run.has(f"{name}.parquet"):
            yield from study.run.lines(name)
            return


Pair = tuple[int, Line, Line]
"""(epoch, training rows, held-out rows)."""


def _curve(study: Study, arm: Line) -> list[Pair]:
    name = f"arms/{slug(arm)}/curve"
    if not study.run.has(f"{name}.parquet"):
        return []
    lines = sorted(study.run.lines(name), key=lambda line: line["epoch"])
    out: list[Pair] = []
    for epoch, here in groupby(lines, key=lambda line: line["epoch"]):
        by: Mapping[str, Line] = {line["group"]: line for line in here}
        if {"train", "heldout"} <= by.keys() and None not in (by["train"]["loss"], by["heldout"]["loss"]):
            out.append((epoch, by["train"], by["heldout"]))
    return out


def _of_seed(pair: Pair) -> At:
    epoch, train, heldout = pair
    return At(epoch, train["loss"], heldout["loss"], _gap(train, heldout))


def _gap(train: Line, heldout: Line) -> float:
    return train["hits"] / train["n"] - heldout["hits"] / heldout["n"] if train["n"] and heldout["n"] else math.nan


def _mean(seeds: Sequence[Sequence[Pair]]) -> list[At]:
    """Over the epochs that all seeds have."""
    out: list[At] = []
    for epoch in sorted(set.intersection(*({pair[0] for pair in lines} for lines in seeds))):
        here = [pair for lines in seeds for pair in lines if pair[0] == epoch]
        ats = [_of_seed(pair) for pair in here]
        trained, unseen = [train for _, train, _ in here], [heldout for *_, heldout in here]
        counts = [sum(line[key] for line in rows) for rows in (trained, unseen) for key in ("hits", "n")]
        gaps = [at.memory for at in ats if not math.isnan(at.memory)]
        memory = sum(gaps) / len(gaps) if gaps else math.nan
        ends = newcombe_difference(*counts).interval if gaps else (math.nan, math.nan)
        train, heldout = (sum(loss) / len(ats) for loss in zip(*(_loss(at) for at in ats), strict=True))
        out.append(At(epoch, train, heldout, memory, *ends))
    return out


def _against(course: Course) -> Iterator[Trace]:
    for line in course.seeds:
        known = [Point(at.heldout, at.memory) for at in line if not math.isnan(at.memory)]
        if known:
            yield Trace(course.kind, known, thin=True)
    known = [
        Point(at.heldout, at.memory, f"{course.label}, epoch {at.epoch}: {_said(at)}", at.low, at.high)
        for at in course.mean
        if not math.isnan(at.memory)
    ]
    if known:
        yield Trace(course.kind, known, dash=course.dash)


def _said(at: At) -> str:
    gap = f"{points(at.memory)} points ({points(at.low)} to {points(at.high)})"
    return f"{gap}, validation loss {at.heldout:.3f}"


def _losses(course: Course, same: Scale) -> Markup:
    traces = [
        Trace(kind, [Point(at.epoch, _loss(at)[side]) for at in line], thin=True)
        for line in course.seeds
        for side, kind in enumerate(("tuned", "floor"))
    ]
    for side, (kind, rows) in enumerate((("tuned", "training rows"), ("floor", "rows never trained on"))):
        traces.append(
            Trace(kind, [Point(at.epoch, _loss(at)[side], f"Epoch {at.epoch}, {rows}: {_loss(at)[side]:.3f}")
                         for at in course.mean])
        )  # fmt: skip
    return plane(f"Loss by epoch: {course.label}", traces, "epoch", "nats per token", width=196, height=170,
                 same_y=same)  # fmt: skip


def _table(found: Sequence[Course]) -> list[dict[str, Any]]:
    return [
        {"name": course.label, "epoch": at.epoch, "train": f"{at.train:.3f}", "heldout": f"{at.heldout:.3f}",
         "memory": "not measurable" if math.isnan(at.memory) else points(at.memory),
         "interval": "" if math.isnan(at.memory) else f"{points(at.low)} to {points(at.high)}"}
        for course in found
        for at in course.mean
    ]  # fmt: skip
