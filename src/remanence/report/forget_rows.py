"""The rows to forget one by one: what each model does of them, and what it said when it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.report.forget import BEFORE, RETRAINED, Forget
from remanence.report.forget_charts import colour
from remanence.report.forget_words import model_name
from remanence.report.study_examples import Text, shown
from remanence.report.words import Line

MOST_ROWS = 500
"""Rows listed by id; of the others only the number is told."""
MOST_SAID = 20
"""Rows of which it is shown what the models said."""


def rows(forget: Forget) -> tuple[list[tuple[str, str]], list[dict[str, Any]], int]:
    """Heads, the rows to forget with what each model does of them, and how many are not listed.

    Rows that are still extracted from the recommended model stand first, then those with the longest run before.
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
    """(class, words) of a row on a model: most tokens right in a row, with a dot where the row is extracted."""
    if line is None:
        return None
    run = "–" if line.get("longest_run") is None else f"{line['longest_run']:,}"
    if line["comes_back"] is None:
        return "muted", f"{run} (too short)"
    return ("back", f"●\u00a0{run}") if line["comes_back"] else ("", run)


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
