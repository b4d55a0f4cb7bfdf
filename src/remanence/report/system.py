"""What the report of a run by name shows: figures, tables and the evidence of the worst rows, in words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from remanence.core.run import Run
from remanence.report.words import Line, percent, plural, span, visible

UNFINISHED = "This run has no verdict: it was not finished; add --resume."
MOST_ROWS = 1000
"""Rows of the ranking in the page."""
MOST_EVIDENCE = 50
"""Worst rows whose evidence is in the page."""
MOST_ITEMS = 12
"""Items of a list in the evidence that are shown."""
HARMLESS = ("statistic", "label", "whose", "part")
"""Names in the evidence whose text is a word of the measure, never training text."""
WHO = {"tuned": "Training rows", "floor": "Held-out rows", "base": "Training rows, base model"}


@dataclass(frozen=True)
class SystemRun:
    """A run by name, read once."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    findings: list[Line] = field(repr=False)
    ranking: list[Line] = field(repr=False)

    @classmethod
    def read(cls, run: Run) -> SystemRun:
        """Read what is there; tables that are not there yet are empty."""

        def lines(name: str) -> list[Line]:
            return list(run.lines(name)) if run.has(f"{name}.parquet") else []

        verdict = run.read_json("verdict.json") if run.has("verdict.json") else {}
        return cls(run, run.spec, verdict, lines("findings"), lines("ranking"))

    @property
    def system(self) -> dict[str, Any]:
        """Name, verb, title and parameters."""
        return self.spec["system"]

    @property
    def sentences(self) -> list[str]:
        """The verdict, or that there is none."""
        return self.verdict.get("sentences") or [UNFINISHED]

    def scores(self) -> dict[str, list[float]]:
        """The finite scores by series of the page: tuned (training rows), floor (held-out rows), base."""
        found: dict[str, list[float]] = {who: [] for who in WHO}
        for line in self.findings:
            who = "floor" if line["group"] == "heldout" else line["target"]
            score = line["score"]
            if score is None or not math.isfinite(score) or who not in found:
                continue
            if line["group"] != "heldout" or line["target"] == "tuned":
                found[who].append(score)
        return {who: scores for who, scores in found.items() if scores}

    def rows(self) -> list[list[str]]:
        """The ranking as text: rank, id, score, base score, above, p, copies, near."""
        return [
            [
                f"{line['rank']:,}",
                visible(line["id"]),
                number(line["score"]),
                number(line["base_score"]),
                {True: "yes", False: "no", None: "–"}[line["above"]],
                number(line["p_value"]),
                f"{line['copies']:,}",
                f"{line['near']:,}",
            ]
            for line in self.ranking[:MOST_ROWS]
        ]

    def evidence(self, *, reveal: bool) -> Iterator[tuple[str, str, str | None, list[tuple[str, str]]]]:
        """(id, score, text or None, facts) of the worst rows; without `reveal` no text is in them."""
        texts = {line["row"]: line["text"] for line in self.run.lines("texts")} if reveal else {}
        for line in self.ranking[:MOST_EVIDENCE]:
            facts = list(_facts("", json.loads(line["evidence"]), reveal))
            yield visible(line["id"]), number(line["score"]), texts.get(line["row"]), facts

    def figures(self) -> list[tuple[str, str]]:
        """The figures of the verdict as (name, value)."""
        return list(_figures(self.verdict))


def _figures(verdict: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for role, auc in (verdict.get("auc") or {}).items():
        name = "AUC of training against held-out rows" + (", base model" if role == "base" else "")
        yield name, auc.get("reason") or f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    share = verdict.get("share") or {}
    if "reason" in share:
        yield "Share above the threshold", share["reason"]
    elif share:
        yield f"Threshold at {100 * share['alpha']:g} % of held-out rows", number(share["threshold"])
        for name, key in (("Training rows", "train"), ("Held-out rows", "heldout"), ("Base model", "base")):
            if share.get(key):
                yield f"{name} above it", _rate(share[key])
        for name, key in (("Excess over held-out rows", "excess"), ("Excess over base model", "excess_over_base")):
            if share.get(key):
                one = share[key]
                yield name, f"{100 * one['value']:+.1f} points ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
    for name, key in (("Extracted before", "one"), ("Extracted after", "other")):
        side = (verdict.get("comparison") or {}).get(key)
        if side:
            yield name, f"{side['hits']:,} of {side['n']:,}: {percent(side['rate'])}"
    for role, parts_ in (verdict.get("scores") or {}).items():
        for part, one in parts_.items():
            interval = "" if one["low"] is None else f" ({one['low']:.3f} to {one['high']:.3f})"
            chance = "" if one["chance"] is None else f", chance {one['chance']:.3f}"
            yield f"{role} model, {part}", f"{number(one['value'])}{interval}, {one['n']:,} items{chance}"
    copies = verdict.get("copies") or {}
    if copies:
        interval = None if "reason" in copies else f"{copies['low']:+.2f} to {copies['high']:+.2f}"
        yield "Rank correlation with copies", copies.get("reason") or f"{copies['value']:+.2f} ({interval})"


def _rate(rate: Mapping[str, Any]) -> str:
    return f"{rate['hits']:,} of {rate['n']:,}: {percent(rate['rate'])} ({span(rate['low'], rate['high'])} %)"


def number(value: Any) -> str:
    """Four significant digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(name: str, value: Any, reveal: bool) -> Iterator[tuple[str, str]]:
    """Evidence as (name, text), objects with the way to their parts."""
    if isinstance(value, dict):
        for key, one in cast("dict[str, Any]", value).items():
            yield from _facts(f"{name}.{key}" if name else key, one, reveal)
    elif isinstance(value, list):
        listed = cast("list[Any]", value)
        shown = [_fact(name, one, reveal) for one in listed[:MOST_ITEMS]]
        more = f", … ({len(listed):,} in all)" if len(listed) > MOST_ITEMS else ""
        yield name, f"{', '.join(shown)}{more}" or "none"
    else:
        yield name, _fact(name, value, reveal)


def _fact(name: str, value: Any, reveal: bool) -> str:
    if isinstance(value, str):
        if reveal or name.rpartition(".")[2] in HARMLESS:
            return visible(value)
        return f"(text hidden: {plural(len(value.split()), 'word')})"
    if isinstance(value, dict | list):
        return "; ".join(f"{key} {text}" for key, text in _facts("", cast("Any", value), reveal))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else number(value)


def parts(spec: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked, as titled lists of names and values."""
    models = [
        (role, f"{one['name']}, fingerprint {one['fingerprint']}")
        for role, one in (spec.get("models") or {}).items()
        if one
    ]
    data = [
        (name, f"{one.get('name', 'named')}, {one['rows']:,} rows")
        for name, one in (spec.get("data") or {}).items()
        if one
    ]
    return [
        ("Parameters", [(name, _setting(value)) for name, value in spec["system"]["parameters"].items()]),
        ("Models and data", [*models, *data]),
        ("Settings", [(name.replace("_", " "), _setting(value)) for name, value in spec["settings"].items()]),
        ("Versions", [(name, str(value)) for name, value in (spec.get("versions") or {}).items()]),
    ]


def _setting(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, dict):
        return ", ".join(f"{key} {_setting(one)}" for key, one in cast("dict[str, Any]", value).items())
    if isinstance(value, list):
        return ", ".join(map(_setting, cast("list[Any]", value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


def edges_of(scores: Sequence[Sequence[float]], bins: int = 30) -> list[float]:
    """Edges of a histogram over all series."""
    low, high = min(map(min, scores)), max(map(max, scores))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [low + (high - low) * i / bins for i in range(bins + 1)]
