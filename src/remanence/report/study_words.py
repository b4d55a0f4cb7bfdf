"""How the report of a study says things: rates and differences as cells, and sentences that the tables bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remanence.report.sections import rate_rows
from remanence.report.study_charts import Dot
from remanence.report.words import Line, count, number, percent, plural, points, share, span

WHO = {
    "tuned": "Fine-tuned, training rows",
    "floor": "Floor: fine-tuned, rows never trained on",
    "base": "Base model, training rows",
    "ceiling": "Ceiling: the rows themselves",
}
PREFIX = {"tuned": "", "floor": "floor_", "base": "base_", "ceiling": "ceiling_"}
LEFT = {"excess": "Above floor", "did": "Above floor and base"}
"""What is left of a rate: the column of `effects`, and its name."""
METHODS = [
    ("Published rate", "The published procedure (Zeng et al. 2024): the first tokens of a training input are given, "
     "the model goes on greedily, and the detector of PAN 2015 looks for any training row in what it says. Rows count "
     "however short they are."),
    ("Floor", "The same procedure with rows that were never trained on. What it flags there is no memory of the row."),
    ("Base", "The same rows put to the model before fine-tuning."),
    ("Ceiling", "The rows' own continuations through the same detector: the most that a perfect memory could reach."),
    ("Above floor", "Rate minus floor, mean over seeds. Rows are drawn again within each seed (bootstrap, 95 %)."),
    ("Above floor and base", "The difference in differences: rate minus floor on the fine-tuned model, minus the "
     "same on the base model. What fine-tuning on these very rows added."),
    ("Next n tokens are extracted", "Greedy decoding generates exactly the next n tokens, after the split named or "
     "after any of them. A row with fewer tokens is not measurable there, and is not counted."),
    ("Own row, any row", "The calibrated detector's threshold comes from unseen rows; own: what it found is the row "
     "asked about, any: some training row. The published detector likewise."),
    ("Sampled n times", "(n, p)-discoverable extraction in closed form: within n samples the row is extracted with "
     "probability p at least."),
]  # fmt: skip
"""What the words of the report mean."""


def dots(line: Line | None, series: Sequence[str] = ("tuned", "floor", "base", "ceiling")) -> list[Dot]:
    """The rate and what it is held against; nothing where the rate itself is not measurable."""
    found: list[Dot] = []
    if share(line) is None or line is None:
        return found
    for who in series:
        value = share(line, PREFIX[who])
        if value is not None:
            says = f"{WHO[who]}: {percent(value.rate)} ({span(value.low, value.high)}), {count(value)} rows"
            found.append(Dot(who, value.rate, value.low, value.high, says))
    return found


def left(line: Line | None, what: str) -> Dot | None:
    """What is left of a rate, `excess` or `did`, with its interval."""
    value, low, high = (number(line.get(f"{what}{end}")) if line else None for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return None
    says = f"{LEFT[what]}: {points(value)} points ({points(low)} to {points(high)})"
    return Dot({"excess": "floor", "did": "tuned"}[what], value, low, high, says)


def signed(line: Line | None, what: str) -> str:
    """+2.5 [-20.0, +22.6], in points; a dash where it is not measurable."""
    dot = left(line, what)
    return "–" if dot is None else f"{points(dot.value)} [{points(dot.low)}, {points(dot.high)}]"


def table_rows(lines: Sequence[tuple[str, str, Line]]) -> list[dict[str, Any]]:
    """(name, detail, line of `effects`) as rows of a table, with both differences."""
    given = [
        {**line, "value": name, "detail": detail}
        | {f"over_base{end}": line[f"did{end}"] for end in ("", "_low", "_high")}
        for name, detail, line in lines
    ]
    return rate_rows(given, name_by_value=True)


def picture_sentence(lines: Mapping[str, Line]) -> str:
    """What the picture shows, in plain words."""
    rates = {task: value for task, line in lines.items() if (value := share(line)) is not None}
    if not rates:
        return "The published detector was not run, or nothing could be asked: there is no published rate here."
    order = sorted(rates, key=lambda task: -rates[task].rate)
    first, last = order[0], order[-1]
    told = f"The published detector flags {percent(rates[first].rate)} of the training rows of {first}"
    told += f" and {percent(rates[last].rate)} of those of {last}." if len(order) > 1 else "."
    floors = sorted(value.rate for line in lines.values() if (value := share(line, "floor_")) is not None)
    if floors:
        many = percent(floors[-1]) if floors[0] == floors[-1] else f"{percent(floors[0])} to {percent(floors[-1])}"
        told += f" Of rows that were never trained on it flags {many}: so much comes without memory of the row."
    known = {task: dot for task in order if (dot := left(lines[task], "did")) is not None}
    above = [task for task, dot in known.items() if dot.low > 0]
    below = [task for task, dot in known.items() if dot.high < 0]
    if known:
        told += f" With floor and base taken off, {_some(above, len(known))}"
        told += f", and {', '.join(below)} below it." if below else "."
    return told


def _some(names: Sequence[str], total: int) -> str:
    if not names:
        return f"none of {plural(total, 'task')} stands clearly above zero"
    verb = "stands" if len(names) == 1 else "stand"
    return f"{len(names)} of {plural(total, 'task')} {verb} clearly above zero ({', '.join(names)})"
