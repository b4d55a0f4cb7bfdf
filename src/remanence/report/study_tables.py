"""What the verdict of a study says, as tables: contrasts between families, and what attention has to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remanence.report.sections import Cell
from remanence.report.study import Study, Variant, kind_of, variant_of
from remanence.report.study_charts import Scale
from remanence.report.study_picture import Lane
from remanence.report.words import Line, number, points

STATISTICS = {
    "entropy": "Normalised entropy", "participation": "Participation ratio", "top": "Top-k mass", "gini": "Gini",
    "cross_last": "Last layer's cross-attention, entropy",
}  # fmt: skip
PRIMARY = "entropy"
CORRELATION = Scale(-1.0, 1.0, ((-1, "\u22121"), (0, "0"), (1, "+1")))
POOLED = "all tasks together"


@dataclass(frozen=True)
class Contrasts:
    """One kind of training: (quantity, high minus low, families) per line."""

    title: str
    between: str
    families: list[str]
    rows: list[tuple[str, Cell | None, list[Cell | None], str]]
    """The last part says why there is no contrast."""


def contrasts(study: Study) -> list[Contrasts]:
    """The contrasts of `verdict.json`, a table for each kind and variant."""
    groups: dict[tuple[Any, Variant], list[Line]] = {}
    for line in study.verdict.get("contrasts") or []:
        groups.setdefault((kind_of(line), variant_of(line)), []).append(line)
    found: list[Contrasts] = []
    for (kind, variant), lines in groups.items():
        detail = variant.beside(study.variants(kind)[0]) if study.variants(kind) else ""
        families = list(dict.fromkeys(name for line in lines for name in line["families"]))
        sides = next(((line["high"], line["low"]) for line in lines if line["value"] is not None), ([], []))
        rows = [
            (
                line["name"],
                _cell(line, line["value"], line["low_end"], line["high_end"]),
                [_of_family(line, name) for name in families],
                line.get("reason") or "",
            )
            for line in lines
        ]
        between = f"{' and '.join(sides[0])} minus {' and '.join(sides[1])}" if sides[0] else "highest minus lowest"
        found.append(Contrasts(", ".join(p for p in (kind.label, detail) if p), between, families, rows))
    return found


def _of_family(line: Line, name: str) -> Cell | None:
    there = line["families"].get(name)
    return None if there is None else _cell(line, there["value"], there["low"], there["high"])


def _cell(line: Line, value: Any, low: Any, high: Any) -> Cell | None:
    known = number(value)
    if known is None:
        return None
    if line["metric"] == "nats":
        return Cell(f"{known:+.3f}", f"{low:+.3f} to {high:+.3f} nats", "")
    return Cell(points(known), f"{points(low)} to {points(high)}", "")


@dataclass(frozen=True)
class Correlated:
    """A task, or all: the rank correlation as it stands and with the rest held fixed."""

    name: str
    lanes: list[Lane]
    plain: Cell | None
    held: Cell | None
    n: int
    reason: str


@dataclass(frozen=True)
class Attention:
    """One kind of training: the primary statistic drawn, all of them in a table."""

    title: str
    held_fixed: str
    rows: list[Correlated]
    scale: list[tuple[float, str]]
    more: list[tuple[str, list[Correlated]]]
    """Statistic to its rows."""
    mixed: list[tuple[str, Cell | None, str]]
    added: list[dict[str, Any]]


def attention(study: Study) -> list[Attention]:
    """A part for each kind of training; empty where no attention was measured."""
    told = study.verdict.get("attention") or {}
    lines = [*(told.get("within") or []), *({"task": POOLED, **line} for line in told.get("pooled") or [])]
    kinds = list(dict.fromkeys(kind_of(line) for line in [*lines, *(told.get("added") or [])]))
    found: list[Attention] = []
    for kind in kinds:
        mine = [line for line in lines if kind_of(line) == kind]
        by_statistic = {s: _rows([x for x in mine if x["statistic"] == s]) for s in
                        dict.fromkeys(x["statistic"] for x in mine)}  # fmt: skip
        first = PRIMARY if PRIMARY in by_statistic else next(iter(by_statistic), "")
        mixed = [(x["term"], _rho(x, "estimate"), x.get("reason") or "")
                 for x in told.get("mixed") or [] if kind_of(x) == kind]  # fmt: skip
        found.append(
            Attention(
                title=kind.label,
                held_fixed=next((x["held_fixed"] for x in mine if x.get("held_fixed")), ""),
                rows=by_statistic.pop(first, []),
                scale=CORRELATION.marks,
                more=[(_statistic(name), rows) for name, rows in by_statistic.items()],
                mixed=mixed,
                added=[_added(x) for x in told.get("added") or [] if kind_of(x) == kind],
            )
        )
    return found


def _statistic(name: str) -> str:
    bare = name.removeprefix("base_")
    return STATISTICS.get(bare, bare) + (" of the base model" if bare != name else "")


def _rows(lines: Sequence[Line]) -> list[Correlated]:
    found: list[Correlated] = []
    for task in dict.fromkeys(line["task"] for line in lines):
        plain, held = (
            next((x for x in lines if x["task"] == task and bool(x.get("held_fixed")) == fixed), None)
            for fixed in (False, True)
        )
        lanes = [lane for who, x in (("floor", plain), ("tuned", held)) if (lane := _lane(who, x)) is not None]
        some = plain or held or {}
        reason = str(some.get("reason") or "")
        found.append(Correlated(task, lanes, _rho(plain), _rho(held), int(some.get("n") or 0), reason))
    return found


def _lane(who: str, line: Line | None) -> Lane | None:
    cell = _rho(line)
    if line is None or cell is None:
        return None
    at, low, high = (round(100 * CORRELATION(line[name]), 2) for name in ("rho", "low", "high"))
    return Lane(who, at, low, round(high - low, 2), f"{cell.rate} ({cell.interval})")


def _rho(line: Line | None, name: str = "rho") -> Cell | None:
    value = number(line.get(name)) if line else None
    if line is None or value is None:
        return None
    ends = [number(line.get(end)) for end in ("low", "high")]
    return Cell(f"{value:+.2f}", "" if None in ends else f"{ends[0]:+.2f} to {ends[1]:+.2f}", "")


def _added(line: Line) -> dict[str, Any]:
    difference = number(line["difference"])
    cell = None
    if difference is not None:
        cell = Cell(f"{difference:+.3f}", f"{line['low']:+.3f} to {line['high']:+.3f}", "")
    without, beside = (number(line[name]) for name in ("auc_without", "auc_with"))
    return {
        "without": "–" if without is None else f"{without:.3f}",
        "with": "–" if beside is None else f"{beside:.3f}",
        "difference": cell,
        "rows": f"{line['num_positive']:,} of {line['n']:,}",
        "reason": line.get("reason") or "",
    }
