"""The tables of a forgetting in the words they are printed in; the template only lays them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.report.forget import BEFORE, RETRAINED, Forget
from remanence.report.forget_charts import colour
from remanence.report.forget_judged import counted, ends, judged, seconds
from remanence.report.forget_words import (
    GROUPS,
    SIDES,
    USER,
    auc_cell,
    cell_of,
    excess_cell,
    gone,
    membership_word,
    metric_of,
    model_name,
    rate_cell,
    rise_cell,
    value_of,
)
from remanence.report.sections import Cell, strips
from remanence.report.words import Line, number, plural


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
    """One line for each model of the picture, judged as the verdict is."""
    found: list[Tried] = []
    for model in forget.models:
        point, told, spent = forget.chosen(model), judged(forget, model), seconds(forget, model)
        if point is None or told is None:
            continue
        first = model == BEFORE
        found.append(
            Tried(
                name=model_name(model),
                colour=colour(forget, model),
                detail="" if model in {BEFORE, RETRAINED} else at(point),
                forget=rate_cell(told.forget),
                excess=excess_cell(told.excess),
                removed="–" if first else gone(told.removed),
                rise=None if first else rise_cell(told.rise),
                untouched=rate_cell(told.untouched),
                auc=auc_cell(told.auc),
                seconds="" if spent is None or first else f"{spent:,.0f}",
                recommended=model == forget.recommended.get("method"),
                within=told.within,
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
                    "forget": rate_cell(counted(point, "forget_")),
                    "excess": excess_cell(ends(point, "excess")),
                    "rise": rise_cell(ends(point, "loss_rise")),
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
    method = forget.recommended.get("method")
    if method is None:
        return None
    before, after, anew = (judged(forget, model) for model in (BEFORE, method, RETRAINED))
    point = forget.chosen(method)
    if before is None or after is None or point is None:
        return None
    shares = {"tuned": before.forget, "base": after.forget, "floor": anew and anew.forget, "blind": after.floor}
    names = {
        "tuned": model_name(BEFORE),
        "base": f"After {model_name(method)}",
        "floor": model_name(RETRAINED),
        "blind": "After, rows never trained on",
    }
    bars, end = strips(shares, names)
    return {
        "number": "" if after.removed is None else gone(after.removed).removesuffix("\u00a0%"),
        "excess": [excess_cell(one.excess) for one in (before, after)],
        "rise": rise_cell(after.rise),
        "strips": bars,
        "end": end,
        "at": at(point),
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
        said = "" if value is None else f"; PrivLeak {value_of(value, 'signed')}"
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


def methods(forget: Forget) -> list[tuple[str, str]]:
    """(name, explanation) of every metric that the page shows."""
    shown_metrics = [m for group in GROUPS.values() for m in group]
    known = {metric for _, _, metric in forget.scores}
    return [(metric_of(m)[0], metric_of(m)[2]) for m in shown_metrics if m in known]


def at(point: Line) -> str:
    """Setting and strength of a state."""
    return ", ".join(part for part in (point["setting"], f"{point['strength']:g} {point['unit']}") if part)
