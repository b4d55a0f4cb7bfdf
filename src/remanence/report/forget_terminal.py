"""The verdict of a forgetting for a terminal or a mail: its sentences, one line per model, and the reasons."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remanence.core.run import Run
from remanence.report.forget import BEFORE, RETRAINED, Forget
from remanence.report.forget_judged import Judged, judged
from remanence.report.forget_page import UNFINISHED
from remanence.report.forget_sections import at
from remanence.report.forget_words import gone, model_name, rise
from remanence.report.words import points, visible

LEGEND = (
    "back: rows to forget that are extracted; above: the same minus held-out rows, in points; loss: on held-out rows; "
    "others: untouched rows that are extracted; AUC: membership, (!) = over-unlearned; relearned: after so many steps."
)
MOST = 10
"""Methods shown, the recommended one first."""


def forget_text(run: Run) -> RenderableType:
    """As rich draws it, at most 100 columns wide. Training text is never shown."""
    forget = Forget.read(run)
    sentences: list[str] = forget.verdict.get("sentences") or [UNFINISHED]
    parts: list[RenderableType] = [Text(visible(s), style="bold" if not i else "") for i, s in enumerate(sentences)]
    if forget.points:
        parts += ["", _table(forget), Text(LEGEND, style="dim")]
    reasons: list[str] = forget.recommended.get("reasons") or []
    if reasons:
        chosen = forget.recommended
        what = f"{model_name(chosen['method'])}, {at(chosen)}"
        parts += ["", Text(f"Recommended: {visible(what)}", style="bold")]
        parts.append(_listed(reasons))
    if forget.verdict.get("notes"):
        parts += ["", _listed(forget.verdict["notes"])]
    return Group(*parts)


def _table(forget: Forget) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("model", overflow="ellipsis", max_width=22, no_wrap=True)
    for name in ("back", "above", "removed", "loss", "others", "AUC", "relearned"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in forget.models:
        told = judged(forget, model)
        if told is not None and (model in {BEFORE, RETRAINED} or model in forget.methods[:MOST]):
            words = _words(forget, model, told)
            table.add_row(Text(visible(model_name(model))), *words, style="" if told.within else "dim")
    return table


def _words(forget: Forget, model: str, told: Judged) -> list[str]:
    over = told.auc is not None and told.auc.high is not None and told.auc.high < 0.5
    return [
        "–" if told.forget is None else f"{told.forget.hits:,} of {told.forget.n:,}",
        "–" if told.excess is None else points(told.excess.value),
        "–" if model == BEFORE else gone(told.removed),
        "–" if model == BEFORE or told.rise is None else rise(told.rise.value),
        "–" if told.untouched is None else f"{told.untouched.hits:,} of {told.untouched.n:,}",
        "–" if told.auc is None else f"{told.auc.value:.2f}{' (!)' if over else ''}",
        _steps(forget, model),
    ]


def _steps(forget: Forget, model: str) -> str:
    """Steps of training on forgotten rows until they are back."""
    line: Any = next((x for x in forget.relearned if (x["model"], x["rows"]) == (model, "forget")), None)
    if line is None:
        return "–"
    return f"> {line['max_steps']}" if line["steps"] is None else str(line["steps"])


def _listed(sentences: list[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        table.add_row("-", Text(visible(sentence), style="dim"))
    return table
