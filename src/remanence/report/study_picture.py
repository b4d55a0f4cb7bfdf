"""One picture of all tasks: the published rate with its floor, base and ceiling, and beside it what is left of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.report.study import PUBLISHED, Cell, Kind, Study, family, own
from remanence.report.study_charts import WHOLE, Dot, Scale, centred
from remanence.report.study_words import dots, left, picture_sentence, signed, table_rows
from remanence.report.words import Line, count, percent, share


@dataclass(frozen=True)
class Lane:
    """A mark with its interval on a track; places in per cent of its width."""

    who: str
    at: float
    low: float
    width: float
    says: str


@dataclass(frozen=True)
class Row:
    """A task in the picture."""

    family: str
    name: str
    note: str
    rates: list[Lane]
    left: list[Lane]
    """Above floor, then above floor and base."""
    excess: str
    did: str


@dataclass(frozen=True)
class Picture:
    """All tasks of a kind: the published rate with what it is held against, and what is left of it."""

    kind: Kind
    sentence: str
    rows: list[Row]
    scale: list[tuple[float, str]]
    left_scale: list[tuple[float, str]]
    table: list[dict[str, Any]]


def picture(study: Study, kind: Kind) -> Picture:
    """The published detector on inputs, all rows; a way of training that is not the main one has a line of its own."""
    main = study.variants(kind)[0]
    cell = Cell(PUBLISHED, "input", study.prompt_tokens, max(study.budgets))
    lines = [
        (task, variant.beside(main), line)
        for task in study.tasks
        for variant in study.variants(kind)
        if (line := study.line(kind, variant, task, cell)) is not None
    ]
    scale = centred(v for *_, line in lines for what in ("excess", "did") for v in _ends(line, what))
    rows: list[Row] = []
    for task, detail, line in lines:
        value = share(line)
        note = "not measurable" if value is None else f"{percent(value.rate)}, {count(value)} rows"
        rows.append(
            Row(
                family(task),
                f"{own(task)}, {detail}" if detail else own(task),
                note,
                [_lane(dot, WHOLE) for dot in dots(line)],
                [_lane(dot, scale) for what in ("excess", "did") if (dot := left(line, what)) is not None],
                signed(line, "excess"),
                signed(line, "did"),
            )
        )
    table = table_rows(lines)
    return Picture(kind, picture_sentence(study.of(kind, cell)), rows, WHOLE.marks, scale.marks, table)


def _ends(line: Line, what: str) -> list[float]:
    dot = left(line, what)
    return [] if dot is None else [dot.low, dot.high]


def _lane(dot: Dot, scale: Scale) -> Lane:
    at, low, high = (round(100 * scale(v), 2) for v in (dot.value, dot.low, dot.high))
    return Lane(dot.who, at, low, round(high - low, 2), dot.says)
