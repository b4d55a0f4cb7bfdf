"""The verdict of an audit of canaries for a terminal or a mail: its sentences, one line per repetition, the notes."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remanence.core.run import Run
from remanence.report.canaries import Canaries, Told, any_counted, table
from remanence.report.words import visible

LEGEND = (
    "exposure: mean bits by rank among controls; first: more likely than every control; fitted: median of the "
    "skew-normal extrapolation; counted: among all possible secrets; AUC: canaries against controls; secret: "
    "extracted greedily."
)


def canaries_text(run: Run) -> RenderableType:
    """As rich draws it, at most 100 columns wide. Secrets are never shown."""
    canaries = Canaries.read(run)
    told = enumerate(canaries.sentences)
    parts: list[RenderableType] = [Text(visible(s), style="bold" if not i else "") for i, s in told]
    lines = table(canaries)
    if lines:
        parts += ["", _table(lines), Text(LEGEND, style="dim")]
    notes: list[str] = canaries.verdict.get("notes") or []
    if notes:
        listed = Table.grid(padding=(0, 1, 0, 0))
        for note in notes:
            listed.add_row("-", Text(visible(note), style="dim"))
        parts += ["", listed]
    return Group(*parts)


def _table(lines: list[dict[str, Any]]) -> Table:
    found = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    counted, base = any_counted(lines), any(line["base"] for line in lines)
    names = ["exposure", "95 %", "first", "fitted", *(["counted"] if counted else []), *(["base"] if base else []),
             "AUC", "secret"]  # fmt: skip
    found.add_column("planted", no_wrap=True)
    for name in names:
        found.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        exposure: Told | None = line["exposure"]
        words = [exposure.rate if exposure else "–", exposure.interval if exposure else ""]
        words += [line["first"], line["fitted"]]
        words += [_rate(line["counted"])] * counted + [_rate(line["base"])] * base + [_rate(line["auc"])]
        words.append(line["back"].n if line["back"] else "–")
        found.add_row(line["name"], *words)
    return found


def _rate(told: Told | None) -> str:
    return "–" if told is None else told.rate
