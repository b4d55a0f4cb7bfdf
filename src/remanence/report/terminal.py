"""The verdict as text for a terminal: sentences, rates with their comparisons, and the worst rows by id."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from remanence.core.run import Run
from remanence.report.audit import Audit
from remanence.report.canaries_terminal import canaries_text
from remanence.report.columns import compared, tokens_of
from remanence.report.forget_terminal import forget_text
from remanence.report.origins import Shares, calibration_line, shares, texts
from remanence.report.sections import Cell, rate_rows
from remanence.report.study_terminal import study_text
from remanence.report.words import KINDS, number, plural, visible

COMPARISONS = {"floor": "floor", "base": "base", "excess": "above floor"}
"""Comparisons of a rate; a column is shown if the run has it."""

TOP = 5
"""Number of rows or texts listed under the rates."""

VALUES = 6
"""Maximum number of values of a column shown, those furthest above their floor first."""

GATES = {True: ("failed", "red"), False: ("passed", "green"), None: ("undecided", "yellow")}
"""Result of --fail-if, by whether its rule holds."""

ORIGINS = {"prompt": "prompt", "common": "common", "own": "own row", "both": "both", "other": "other", "new": "new"}
WHOSE = {"own": "(the prompted row)", "both": "(and other rows)"}


def verdict_text(run: Run) -> RenderableType:
    """The verdict as a rich renderable, at most 100 columns wide. It shows ids, but no training text."""
    if run.spec.get("job") == "study":
        return study_text(run)
    if run.spec.get("job") == "canaries":
        return canaries_text(run)
    if run.spec.get("job") == "forget":
        return forget_text(run)
    audit = Audit.read(run)
    sentences: list[str] = audit.verdict.get("sentences") or ["This run has no verdict: add --resume to finish it."]
    parts: list[RenderableType] = [Text(visible(s), style="bold" if not i else "") for i, s in enumerate(sentences)]
    if audit.main_rates():
        parts += ["", _rates(audit)]
    for column in audit.verdict.get("columns") or []:
        parts += ["", _by_column(audit, column)]
    origins = [] if audit.is_match else shares(audit)  # the second sentence of a match has these shares
    if origins:
        parts += ["", _shares(origins)]
    if audit.is_match:
        parts += _surprising(audit)
    worst = [line for line in audit.ranking if line["comes_back"]][:TOP]
    if worst:
        parts += ["", Text("Worst rows", style="bold"), _worst(audit)]
    remarks = [calibration_line(audit)] if origins and audit.calibration else []
    compare = [column["sentence"] for column in audit.verdict.get("columns") or []]
    remarks = [*compare, *(audit.verdict.get("cannot_claim") or []), *(audit.verdict.get("notes") or []), *remarks]
    if remarks:
        parts += ["", _listed(remarks)]
    gate = audit.verdict.get("fail_if")
    if gate:
        word, colour = GATES[gate["failed"]]
        parts += ["", Text(f"Gate {word}: {visible(str(gate['rule']))}", style=colour)]
    return Group(*parts)


def verdict_plain(run: Run, width: int = 96) -> str:
    """The verdict as plain text without colour."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, force_terminal=False, highlight=False).print(verdict_text(run))
    lines = out.getvalue().replace("\u00a0", " ").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rates(audit: Audit) -> Table:
    rows = rate_rows(audit.main_rates())
    against = [key for key in COMPARISONS if any(row[key] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("Measured")
    for name in (f"{audit.unit}s", "rate", "95 % interval", *(COMPARISONS[key] for key in against)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        name = Text(row["name"])
        if row["detail"]:
            name.append(f"\n{row['detail']}", style="dim")
        tuned: Cell | None = row["tuned"]
        known = (tuned.count, tuned.rate, tuned.interval) if tuned else ("", "not measured", "")
        table.add_row(name, *known, *(row[key].rate if row[key] else "–" for key in against))
    return table


def _by_column(audit: Audit, column: Mapping[str, Any]) -> Table:
    """Rates by the values of a column of the data, at the number of tokens at which they compare best."""
    lines = compared(audit, column)
    best = sorted(lines, key=lambda r: -(number(r["excess"]) or number(r["rate"]) or 0.0))[:VALUES]
    rows = rate_rows([line for line in lines if line in best], name_by_value=True)
    against = [key for key in COMPARISONS if any(row[key] for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    more = f", {len(rows)} of {len(lines)}" if len(rows) < len(lines) else ""
    table.add_column(f"By {visible(column['column'])}, next {plural(tokens_of(audit, column), 'token')}{more}")
    for name in ("rows", "rate", *(COMPARISONS[key] for key in against)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        tuned: Cell | None = row["tuned"]
        known = (tuned.count, tuned.rate) if tuned else ("", "not measurable")
        table.add_row(Text(visible(row["name"])), *known, *(row[key].rate if row[key] else "–" for key in against))
    return table


def _shares(origins: Sequence[Shares]) -> Table:
    """Attribution of the generated words to their sources, one line for each group of texts."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    table.add_column("Attribution of the generated words", no_wrap=True)
    for name in ("words", *ORIGINS.values()):
        table.add_column(name, justify="right", no_wrap=True)
    for line in origins:
        share = {part.origin: part.share for part in line.parts}
        table.add_row(line.name, f"{line.num_words:,}", *(share[origin] for origin in ORIGINS))
    return table


def _surprising(audit: Audit) -> list[RenderableType]:
    """The most surprising texts of a match, by id, and the training rows that they match."""
    best = [line for line in texts(audit) if line["train_id"] is not None][:TOP]
    if not best:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right")
    table.add_column(overflow="ellipsis", max_width=20, no_wrap=True)
    table.add_column()
    table.add_column(overflow="ellipsis", max_width=20, no_wrap=True)
    table.add_column()
    for line in best:
        bits = "" if line["bits"] is None else f", {plural(round(line['bits']), 'bit')}"
        kind, whose = KINDS[line["found"]].lower(), WHOSE.get(line["whose"], "")
        row = Text(visible(line["train_id"]))
        table.add_row(str(line["rank"]), Text(visible(line["id"])), f"{kind}{bits}, from", row, whose)
    return ["", Text("Most surprising texts", style="bold"), table]


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
        after = "extracted" if prefix is None else f"extracted after {plural(prefix, 'token')}"
        table.add_row(str(line["rank"]), Text(visible(line["id"])), after, plural(copies, "copy", "copies"))
    return table
