"""A few answers that a detector found to repeat the row they were asked about; hidden, only the length of each word."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from remanence.report.evidence import shape
from remanence.report.study import Study, kind_of, slug, variant_of
from remanence.report.words import Line, plural

PER_ARM = 2
"""Answers of each task, kind and variant, and of each side."""
WORDS = 60
"""Words whose length is drawn of a hidden text; of what stands before or after, only the count is told."""


@dataclass(frozen=True)
class Text:
    """A text as the page may show it."""

    text: str | None
    """None = hidden."""
    bars: list[int]
    more: str


@dataclass(frozen=True)
class Example:
    """One answer with what it was asked and what stands in the row."""

    facts: str
    prompt: Text
    answer: Text
    expected: Text


@dataclass(frozen=True)
class Examples:
    """Those of one arm."""

    title: str
    found: list[Example]
    flagged: str
    """How many there are, of how many."""


def examples(study: Study, *, reveal: bool) -> list[Examples]:
    """For each way of training: of its first seed, the answers flagged at most tokens, rows of most copies first."""
    seen: set[tuple[Any, ...]] = set()
    out: list[Examples] = []
    for arm in study.arms:
        key = (kind_of(arm), arm["task"], variant_of(arm))
        place = f"arms/{slug(arm)}"
        if key in seen or not all(study.run.has(f"{place}/{t}.parquet") for t in ("outcomes", "attempts", "probes")):
            continue
        seen.add(key)
        kind = kind_of(arm)
        detail = variant_of(arm).beside(study.variants(kind)[0])
        title = ", ".join(part for part in (arm["task"], kind.label, detail) if part)
        for side in ("input", "output"):
            found = _of_arm(study, place, side, reveal)
            if found is not None:
                out.append(Examples(f"{title}: {side}s", *found))
    return out


def _of_arm(study: Study, place: str, side: str, reveal: bool) -> tuple[list[Example], str] | None:
    table = study.run.read_table(f"{place}/outcomes")
    detector = "calibrated" if "calibrated" in study.settings.get("detectors", []) else "pan2015"
    wanted = (f"{detector}-own", side, "tuned", "train")
    named = (table[name].to_pylist() for name in ("metric", "side", "who", "group"))
    keep = [place for place, cell in enumerate(zip(*named, strict=True)) if cell == wanted]
    lines = sorted(table.take(pa.array(keep, pa.int64())).to_pylist(), key=lambda line: -line["budget"])
    longest: dict[int, int] = {}
    known: set[int] = set()
    for line in lines:
        for row, value in enumerate(line["values"]):
            if value is not None and not math.isnan(value):
                known.add(row)
            if value == 1:
                longest.setdefault(row, line["budget"])
    if not longest:
        return None
    asked = [line for line in study.run.lines(f"{place}/attempts")
             if line["group"] == "train" and line["side"] == side]  # fmt: skip
    copies = {line["row"]: line["copies"] for line in study.run.lines(f"{place}/probes") if line["group"] == "train"}
    best = sorted(longest, key=lambda row: (-longest[row], -copies.get(row, 0), row))[:PER_ARM]
    found = [_example(study, asked[row], longest[row], copies.get(row, 0), reveal) for row in best]
    name = "calibrated" if detector == "calibrated" else "published"
    return found, f"{len(longest):,} of {plural(len(known), 'row')} flagged by the {name} detector, first seed"


def _example(study: Study, line: Line, budget: int, copies: int, reveal: bool) -> Example:
    at = study.budgets.index(budget)
    return Example(
        f"Row {line['id']}, trained on {plural(copies, 'time')} per epoch; flagged at {plural(budget, 'token')}",
        shown(line["prompt"], reveal, tail=True),
        shown(line["answer_at"][at], reveal),
        shown(line["expected_at"][at], reveal),
    )


def shown(text: str | None, reveal: bool, *, tail: bool = False) -> Text:
    """A text as the page may show it; of a hidden one the end counts (`tail`) or the beginning."""
    if reveal:
        return Text(text or "", [], "")
    bars = shape(text or "")
    more = len(bars) - WORDS
    kept = bars[-WORDS:] if tail else bars[:WORDS]
    return Text(None, kept, f"{plural(more, 'word')} {'before' if tail else 'more'}" if more > 0 else "")
