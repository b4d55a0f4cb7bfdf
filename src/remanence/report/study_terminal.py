"""The verdict of a study for a terminal or a mail: its sentences, and for each kind of training a table of tasks."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from remanence.core.run import Run
from remanence.report.study import PUBLISHED, Cell, Kind, Study
from remanence.report.study_words import PREFIX, signed
from remanence.report.words import percent, share, visible

UNFINISHED = "This study has no verdict: it was not finished, or no rate could be compared; add --resume."

WIDE = 20
"""Letters of a task's name before it is folded at its slash."""


def study_text(run: Run) -> RenderableType:
    """As rich draws it, at most 100 columns wide. Training text is never shown."""
    study = Study.read(run)
    sentences: list[str] = study.verdict.get("sentences") or [UNFINISHED]
    parts: list[RenderableType] = []
    for place, sentence in enumerate(sentences):
        parts += [Text(visible(sentence), style="bold" if not place else ""), ""]
    for kind in study.kinds:
        if any(study.cells(kind)):
            parts += [Text(f"{visible(kind.label)}: rows flagged by the published detector", style="bold"),
                      _table(study, kind), Text("[95 % interval], in points.", style="dim"), ""]  # fmt: skip
    parts += [Text(f"- {visible(note)}", style="dim") for note in study.verdict.get("notes") or []]
    return Group(*parts)


def _table(study: Study, kind: Kind) -> Table:
    """One line per task and way of training; the published detector on inputs, over all rows."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("task", overflow="fold", max_width=22)
    for name in ("rate", "floor", "base", "ceiling", "above floor", "above floor and base"):
        table.add_column(name, justify="right", no_wrap=True)
    cell = Cell(PUBLISHED, "input", study.prompt_tokens, max(study.budgets))
    variants = study.variants(kind)
    for task in study.tasks:
        for variant in variants:
            line = study.line(kind, variant, task, cell)
            if line is None:
                continue
            name = ", ".join(part for part in (task, variant.beside(variants[0])) if part)
            rates = [share(line, prefix) for prefix in PREFIX.values()]
            words = ["–" if rate is None else percent(rate.rate) for rate in rates]
            folded = visible(name).replace("/", "/\n", 1) if len(name) > WIDE else visible(name)
            table.add_row(Text(folded), *words, signed(line, "excess"), signed(line, "did"))
    return table
