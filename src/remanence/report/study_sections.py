"""Does the difference between tasks depend on length, on the split, on copies, on whose row counts, on sampling?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from remanence.report.study import ANY, PUBLISHED, Cell, Kind, Study
from remanence.report.study_charts import RATES, Dot, Scale, panel, steps
from remanence.report.study_words import WHO, dots, left, table_rows
from remanence.report.words import Line, plural

SIDES = ("input", "output")
DETECTORS = {"calibrated": "calibrated", "pan2015": "published"}
"""Detector to what it is called under a picture."""
ENOUGH = 20
"""Rows that a task must have at a number of tokens to speak for it."""


@dataclass(frozen=True)
class Group:
    """Small pictures of one quantity, a task each, and the same in numbers."""

    title: str
    panels: list[tuple[str, Markup]]
    series: tuple[tuple[str, str], ...]
    table: list[dict[str, Any]]
    first: str = "Task"
    broad: bool = False


@dataclass(frozen=True)
class Part:
    """A question with its groups of pictures."""

    name: str
    title: str
    about: str
    groups: list[Group]


def parts(study: Study, kind: Kind) -> list[Part]:
    """Everything about one kind of training but its picture; parts without a single number are left out."""
    found = [_length(study, kind), _splits(study, kind), _copies(study, kind), _whose(study, kind),
             _sampled(study, kind)]  # fmt: skip
    return [Part(p.name, p.title, p.about, there) for p in found if (there := [g for g in p.groups if g.panels])]


def _length(study: Study, kind: Kind) -> Part:
    groups: list[Group] = []
    asked = study.prompt_tokens
    for side in SIDES:
        across = [(str(n), Cell("greedy", side, ANY, n)) for n in study.budgets]
        groups.append(_group(study, kind, f"The next tokens of {side}s are extracted at some split", across, "tokens"))
    for side in SIDES:
        across = [(str(n), Cell("calibrated-own", side, asked, n)) for n in study.budgets]
        title = f"The calibrated detector finds the {'own row' if side == 'input' else 'own output'} in the answer"
        groups.append(_group(study, kind, f"{title} ({side}s)", across, "tokens"))
    about = (
        "A longer answer has more chances to be flagged, so equally many tokens are asked of every task. Across: how "
        "many tokens must be extracted; a task whose rows are shorter is not measurable there, never 0 %. Upright: "
        "share of rows, stretched near zero."
    )
    return Part("length", "Length held fixed", about, groups)


def _splits(study: Study, kind: Kind) -> Part:
    budget = study.budget()
    prefixes = [*study.settings.get("prefixes", []), ANY]
    groups = [
        _group(study, kind, f"The next {budget} tokens of {side}s are extracted",
               [(p, Cell("greedy", side, p, budget)) for p in prefixes], "given", joined=False, broad=True)
        for side in SIDES
    ]  # fmt: skip
    about = (
        "Where a row is split decides what can be extracted. Across: tokens of the side that the prompt shows, or "
        "per cent of it; any: at one of these splits or more."
    )
    return Part("splits", "Split points", about, groups)


def _copies(study: Study, kind: Kind) -> Part:
    asked, longest, budget = study.prompt_tokens, max(study.budgets), study.budget()
    doses = sorted({int(c.copies) for c in study.cells(kind) if c.copies != "all"})
    cells = [("Published rate above its floor", Cell(PUBLISHED, "input", asked, longest))]
    cells += [(f"The next {budget} tokens of {s}s are extracted, above the floor", Cell("greedy", s, ANY, budget))
              for s in SIDES]  # fmt: skip
    groups: list[Group] = []
    for title, cell in cells:
        across = [(str(dose), cell._replace(copies=str(dose))) for dose in doses]
        found = [left(line, "excess") for _, c in across for line in study.of(kind, c).values()]
        scale = steps([0.0, *(v for dot in found if dot is not None for v in (dot.low, dot.high))], 0.01)

        def excess(line: Line | None) -> list[Dot]:
            dot = left(line, "excess")
            return [] if dot is None else [dot._replace(who="tuned")]

        names = (("tuned", "Above floor, in points"),)
        groups.append(_group(study, kind, title, across, "copies", of=excess, scale=scale, zero=True, names=names))
    about = "Rows that stand more often among the training rows. Across: copies; upright: points above the floor."
    return Part("copies", "By number of copies", about, groups if len(doses) > 1 else [])


def _whose(study: Study, kind: Kind) -> Part:
    asked = study.prompt_tokens
    groups: list[Group] = []
    for side in SIDES:
        budget = _longest_measurable(study, kind, side)
        if budget is None:
            continue
        across = [
            (f"{whose}\n{word}", Cell(f"{detector}-{whose}", side, asked, budget))
            for detector, word in DETECTORS.items()
            if detector in study.settings.get("detectors", [])
            for whose in ("own", "any")
        ]
        title = f"Answers about {side}s, cut to {budget} tokens"
        groups.append(_group(study, kind, title, across, "row", joined=False, broad=True))
    about = (
        "The published detector counts a hit in any training row. Memory of a row is a hit in that row: own is the row "
        "the model was asked about, any is any training row. The number of tokens is the longest at which half of the "
        f"tasks have {ENOUGH} rows or more."
    )
    return Part("whose", "Own row or any row", about, groups)


def _longest_measurable(study: Study, kind: Kind, side: str) -> int | None:
    """The longest budget at which half of the tasks have enough rows; None without such answers on this side."""
    asked, names = study.prompt_tokens, study.settings.get("detectors", [])
    best: int | None = None
    for budget in study.budgets:
        lines = [study.of(kind, Cell(f"{name}-own", side, asked, budget)) for name in names]
        if any(2 * sum(line["n"] >= ENOUGH for line in found.values()) >= len(found) > 0 for found in lines):
            best = budget
    return best


def _sampled(study: Study, kind: Kind) -> Part:
    budget = study.budget()
    schemes = study.settings.get("schemes", [])
    groups: list[Group] = []
    for side in SIDES:
        across = [("greedy", Cell("greedy", side, ANY, budget))]
        for scheme in schemes:
            mark = f"\n{scheme}" if len(schemes) > 1 else ""
            across += [
                (f"{n if n < 1000 else f'{n // 1000}k'}{mark}", Cell("sampled", side, ANY, budget, f"{scheme}, n={n}"))
                for n in study.settings.get("queries", [])
            ]
        title = f"The next {budget} tokens of {side}s, at some split"
        groups.append(_group(study, kind, title, across, "samples", joined=False, broad=len(schemes) > 1))
    about = (
        f"Greedy decoding beside n samples ({', '.join(schemes)}; p = {study.settings.get('p', 0.5):g}), in closed "
        "form: nothing is drawn. Among many samples may be what greedy decoding never says; the floor shows how often "
        "that is so of rows never trained on."
    )
    return Part("sampled", "Greedy against sampled", about, groups if schemes else [])


def _group(
    study: Study, kind: Kind, title: str, across: Sequence[tuple[str, Cell]], unit: str, *, joined: bool = True,
    broad: bool = False, of: Callable[[Line | None], list[Dot]] = dots, scale: Scale = RATES, zero: bool = False,
    names: tuple[tuple[str, str], ...] = tuple(WHO.items()),
) -> Group:  # fmt: skip
    """A panel per task; a side that nothing predicts has none. No series: nothing is measurable anywhere."""
    found = [study.of(kind, cell) for _, cell in across]
    tasks = [task for task in study.tasks if any(task in lines for lines in found)]
    panels: list[tuple[str, Markup]] = []
    table: list[tuple[str, str, Line]] = []
    seen: set[str] = set()
    for task in tasks:
        places = [(label, of(lines.get(task))) for (label, _), lines in zip(across, found, strict=True)]
        seen |= {dot.who for _, those in places for dot in those}
        drawn = panel(f"{title}: {task}", places, scale, joined=joined, width=290 if broad else 196, zero=zero)
        panels.append((task, drawn))
        for (label, _), lines in zip(across, found, strict=True):
            if task in lines:
                table.append((task, _detail(label, unit), lines[task]))
    return Group(title, panels, tuple((k, v) for k, v in names if k in seen), table_rows(table), broad=broad)


def _detail(label: str, unit: str) -> str:
    words = label.replace("\n", " row, ") if unit == "row" else label.replace("\n", ", ")
    if unit == "tokens":
        return plural(int(label), "token")
    if unit == "copies":
        return plural(int(label), "copy", "copies")
    if unit == "given":
        return "at some split" if label == ANY else f"after {words}" + ("" if "%" in words else " tokens")
    return words if unit == "row" or label == "greedy" else f"{words} samples"
