"""The tables of a forgetting in the words they are printed in; the template only lays them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.report.forget import BEFORE, RETRAINED, Forget
from remanence.report.forget_charts import colour
from remanence.report.forget_words import (
    GROUPS,
    SIDES,
    USER,
    cell_of,
    counted,
    excess_cell,
    gone,
    membership_word,
    metric_of,
    model_name,
    rate_cell,
    rise,
    rise_cell,
)
from remanence.report.sections import Cell, strips
from remanence.report.study_examples import Text, shown
from remanence.report.words import Line, number, plural, points

MOST_ROWS = 500
"""Rows listed by id; of the others only the number is told."""
MOST_SAID = 20
"""Rows of which it is shown what the models said."""


@dataclass(frozen=True)
class Tried:
    """The state that was kept of a method, or a model that no method made."""

    name: str
    colour: str
    detail: str
    forget: Cell | None
    excess: Cell | None
    removed: str
    rise: Cell | None
    untouched: Cell | None
    auc: Cell | None
    seconds: str
    recommended: bool
    within: bool


def tried(forget: Forget) -> list[Tried]:
    """One line for each model of the picture."""
    found: list[Tried] = []
    for model in forget.models:
        point = forget.chosen(model)
        if point is None:
            continue
        removed, seconds = number(point.get("removed")), number(point.get("seconds"))
        spent = [s for p in forget.points if p["method"] == model if (s := number(p.get("seconds"))) is not None]
        found.append(
            Tried(
                name=model_name(model),
                colour=colour(forget, model),
                detail="" if model in {BEFORE, RETRAINED} else _at(point),
                forget=rate_cell(point, "forget_"),
                excess=excess_cell(point),
                removed="–" if model == BEFORE else gone(removed),
                rise=None if model == BEFORE else rise_cell(point),
                untouched=rate_cell(point, "untouched_"),
                auc=_auc(point),
                seconds="" if seconds is None else f"{max(spent):,.0f}",
                recommended=model == forget.recommended.get("method"),
                within=bool(point["within"]),
            )
        )
    return found


def all_states(forget: Forget) -> list[tuple[str, str, list[dict[str, Any]], str]]:
    """(method, setting, its states, why it ended) of every path."""
    found: list[tuple[str, str, list[dict[str, Any]], str]] = []
    for model in forget.methods:
        for path in forget.paths(model):
            rows = [
                {
                    "at": f"{point['strength']:g} {point['unit']}",
                    "forget": rate_cell(point, "forget_"),
                    "excess": excess_cell(point),
                    "rise": rise_cell(point),
                    "note": ", ".join(
                        word
                        for word, said in (("kept", point["chosen"]), ("on the front", point["on_front"]),
                                           ("beyond the limit", not point["within"]))
                        if said
                    ),
                }
                for point in path.points
            ]  # fmt: skip
            found.append((model_name(model), path.setting, rows, path.why))
    return found


def headline(forget: Forget) -> dict[str, Any] | None:
    """The big number beside the verdict: what is gone, with the rates it is made of and its price."""
    before, after = forget.reference(BEFORE), forget.chosen(forget.recommended.get("method", ""))
    if before is None or after is None or not forget.recommended:
        return None
    removed = number(after.get("removed"))
    shares = {
        "tuned": counted(before, "forget_"),
        "base": counted(after, "forget_"),
        "floor": counted(forget.reference(RETRAINED), "forget_"),
        "blind": counted(after, "floor_"),
    }
    names = {
        "tuned": model_name(BEFORE),
        "base": f"After {model_name(after['method'])}",
        "floor": model_name(RETRAINED),
        "blind": "After, rows never trained on",
    }
    bars, end = strips(shares, names)
    return {
        "number": "" if removed is None else gone(removed).removesuffix("\u00a0%"),
        "excess": (_difference(before), _difference(after)),
        "rise": rise_cell(after),
        "strips": bars,
        "end": end,
        "at": _at(after),
    }


def tables(forget: Forget) -> list[dict[str, Any]]:
    """Before and after, side by side: for each side the metrics that were measured, in groups."""
    found: list[dict[str, Any]] = []
    models = [model for model in forget.models if any(m == model for m, _, _ in forget.scores)]
    own = tuple(dict.fromkeys(metric for _, _, metric in forget.scores if metric.startswith(USER)))
    for side, (title, about) in SIDES.items():
        groups: list[tuple[str, list[dict[str, Any]]]] = []
        for name, metrics in ({**GROUPS, "Use": (*GROUPS["Use"], *own)}).items():
            rows = [row for metric in metrics if (row := _metric_row(forget, models, side, metric)) is not None]
            if rows:
                groups.append((name, rows))
        if groups:
            heads = [(colour(forget, m), model_name(m)) for m in models]
            found.append({"title": title, "about": about, "heads": heads, "groups": groups})
    return found


def _metric_row(forget: Forget, models: list[str], side: str, metric: str) -> dict[str, Any] | None:
    lines = [forget.score(model, side, metric) for model in models]
    if not any(lines):
        return None
    cells = [cell_of(line) for line in lines]
    notes = list(dict.fromkeys(str(line["note"]) for line in lines if line and line.get("note")))
    return {"name": metric_of(metric)[0], "notes": notes, "cells": cells}


def memberships(forget: Forget) -> list[str]:
    """What the areas say, both ways, in sentences."""
    found: list[str] = []
    for model in forget.models:
        line = forget.score(model, "forget", "auc_loss")
        auc = number(line["value"]) if line else None
        if line is None or auc is None:
            continue
        word = membership_word(auc, number(line["low"]), number(line["high"]))
        leak = forget.score(model, "forget", "privleak")
        value = number(leak["value"]) if leak else None
        said = "" if value is None else f"; PrivLeak {value:+.0f}"
        found.append(f"{model_name(model)}: {word} (AUC {auc:.2f}{said}).")
    return found


def relearned(forget: Forget) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(what was trained on, [(model, colour, steps until the rows were back)])."""
    titles = {"forget": "Trained on forgotten rows again", "benign": "Trained on rows that were kept"}
    found: list[tuple[str, list[tuple[str, str, str]]]] = []
    for rows in dict.fromkeys(line["rows"] for line in forget.relearned):
        told: list[tuple[str, str, str]] = []
        for model in forget.models:
            line = next((x for x in forget.relearned if (x["model"], x["rows"]) == (model, rows)), None)
            if line is not None:
                never = f"not within {plural(line['max_steps'], 'step')}"
                steps = never if line["steps"] is None else "at once" if not line["steps"] else str(line["steps"])
                told.append((model_name(model), colour(forget, model), steps))
        found.append((titles.get(rows, str(rows)), told))
    return found


def rows(forget: Forget) -> tuple[list[tuple[str, str]], list[dict[str, Any]], int]:
    """Heads, the rows to forget with what each model does of them, and how many are not listed.

    Rows that still come back from the recommended model stand first, then those with the longest run before.
    """
    models = [model for model in forget.models if any(line["model"] == model for line in forget.states)]
    by_row = {(line["id"], line["model"]): line for line in forget.states if line.get("side", "forget") == "forget"}
    told = forget.recommended.get("method")

    def order(row: Line) -> tuple[bool, int]:
        after, before = by_row.get((row["id"], told)), by_row.get((row["id"], BEFORE))
        return not (after and after["comes_back"]), -int((before or {}).get("longest_run") or 0)

    listed = sorted(forget.rows, key=order)
    found = [
        {
            "id": row["id"],
            "why": row["why"] or "",
            "copies": row["copies"],
            "cells": [_state(by_row.get((row["id"], model))) for model in models],
        }
        for row in listed[:MOST_ROWS]
    ]
    return [(colour(forget, m), model_name(m)) for m in models], found, len(listed) - len(found)


def _state(line: Line | None) -> tuple[str, str] | None:
    """(class, words) of a row on a model."""
    if line is None:
        return None
    run = plural(line["longest_run"], "token") if line.get("longest_run") is not None else "run not measured"
    if line["comes_back"] is None:
        return "muted", "not measurable"
    return ("back", f"comes back, {run}") if line["comes_back"] else ("", run)


@dataclass(frozen=True)
class Said:
    """What the models said of one row."""

    id: str
    prompt: Text
    truth: Text
    answers: list[tuple[str, Text]]


def said(forget: Forget, *, reveal: bool) -> list[Said]:
    """The first rows to forget that were really put to the models, before, after and retrained."""
    if not forget.run.has("said.parquet"):
        return []
    models = [m for m in (BEFORE, forget.recommended.get("method"), RETRAINED) if m is not None]
    lines = [line for line in forget.run.lines("said") if line.get("side", "forget") == "forget"]
    by_row: dict[str, dict[str, Line]] = {}
    for line in lines:
        by_row.setdefault(line["id"], {})[line["model"]] = line
    found: list[Said] = []
    for row, those in list(by_row.items())[:MOST_SAID]:
        any_line = next(iter(those.values()))
        answers = [(model_name(m), shown(those[m]["said"], reveal)) for m in models if m in those]
        found.append(Said(row, shown(any_line["prompt"], reveal, tail=True), shown(any_line["truth"], reveal), answers))
    return found


def methods(forget: Forget) -> list[tuple[str, str]]:
    """(name, explanation) of every metric that the page shows."""
    shown_metrics = [m for group in GROUPS.values() for m in group]
    known = {metric for _, _, metric in forget.scores}
    return [(metric_of(m)[0], metric_of(m)[2]) for m in shown_metrics if m in known]


def _at(point: Line) -> str:
    return ", ".join(part for part in (point["setting"], f"{point['strength']:g} {point['unit']}") if part)


def _difference(point: Line) -> str:
    value = number(point["excess"])
    return "not measurable" if value is None else points(value)


def _auc(point: Line) -> Cell | None:
    auc, low, high = (number(point.get(name)) for name in ("auc", "auc_low", "auc_high"))
    if auc is None:
        return None
    interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return Cell(f"{auc:.2f}", interval, "over-unlearned" if high is not None and high < 0.5 else "")


def price(point: Line | None) -> str:
    """The rise of the loss in short."""
    value = number(point["loss_rise"]) if point else None
    return "–" if value is None else rise(value)
