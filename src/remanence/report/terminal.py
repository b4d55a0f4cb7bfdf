"""The verdict for a terminal or a mail: two sentences, the rates with what they are held against, the worst rows."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from remanence.core.run import Run
from remanence.report.audit import Audit
from remanence.report.sections import Cell, rate_rows
from remanence.report.words import plural, visible

AGAINST = {"floor": "floor", "base": "base", "excess": "above floor"}
"""What a rate is held against; a column appears where it was given."""

TOP = 5
"""Rows named under the rates."""


def verdict_text(run: Run) -> RenderableType:
    """The verdict as rich draws it, at most 100 columns wide. Ids are shown, training text never is."""
    audit = Audit.read(run)
    sentences: list[str] = audit.verdict.get("sentences") or ["This run has no verdict: add --resume to finish it."]
    parts: list[RenderableType] = [Text(visible(s), style="bold" if not i else "") for i, s in enumerate(sentences)]
    if audit.main_rates():
        parts += ["", _rates(audit)]
    worst = [line for line in audit.ranking if line["comes_back"]][:TOP]
    if worst:
        parts += ["", Text("Worst rows", style="bold"), _worst(audit)]
    remarks = [*(audit.verdict.get("cannot_claim") or []), *(audit.verdict.get("notes") or [])]
    if remarks:
        parts += ["", _listed(remarks)]
    gate = audit.verdict.get("fail_if")
    if gate:
        word = "failed" if gate["failed"] else "passed"
        parts += ["", Text(f"Gate {word}: {visible(str(gate['rule']))}", style="red" if gate["failed"] else "green")]
    return Group(*parts)


def verdict_plain(run: Run, width: int = 96) -> str:
    """The same without colour, to paste into a mail."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False, highlight=False).print(verdict_text(run))
    lines = out.getvalue().replace("\u00a0", " ").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rates(audit: Audit) -> Table:
    rows = rate_rows(audit.main_rates())
    against = [key for key in AGAINST if any(row[key] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("Measured")
    for name in ("rows", "rate", "95 % interval", *(AGAINST[key] for key in against)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        name = Text(row["name"])
        if row["detail"]:
            name.append(f"\n{row['detail']}", style="dim")
        tuned: Cell | None = row["tuned"]
        known = (tuned.count, tuned.rate, tuned.interval) if tuned else ("", "not measured", "")
        table.add_row(name, *known, *(row[key].rate if row[key] else "–" for key in against))
    return table


def _listed(sentences: Sequence[str]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        table.add_row("-", Text(visible(sentence), style="dim"))
    return table


def _worst(audit: Audit) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="ellipsis", max_width=40, no_wrap=True)
    table.add_column()
    table.add_column()
    for line in [line for line in audit.ranking if line["comes_back"]][:TOP]:
        prefix, copies = line["shortest_prefix"], line["copies"] or 0
        after = "comes back" if prefix is None else f"comes back after {plural(prefix, 'token')}"
        table.add_row(str(line["rank"]), Text(visible(line["id"])), after, plural(copies, "copy", "copies"))
    return table
