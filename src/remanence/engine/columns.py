"""Columns of the data that rates are broken down by: which task, source or year a row is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.core.record import Record

MOST = 24
"""Values that a column may have; more are no groups to compare."""
NONE = "(none)"
"""What stands for a row that leaves the column empty."""
NESTED = "meta"
"""An object of this name in a row holds further columns, as `Record.meta` does."""
_TOLD = 12


def labels(records: Sequence[Record], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """[rows] the value of each column, as words; `(none)` where a row has none."""
    return [tuple(_word(_value(record.meta, column)) for column in columns) for record in records]


def check_columns(train: Sequence[Record], heldout: Sequence[Record] | None, columns: Sequence[str]) -> None:
    """Raise `RemanenceError` for a column that the rows do not have, or that tells no groups apart."""
    for records, which in ((train, "training"), (heldout, "held-out")):
        for column in columns if records else ():
            assert records is not None
            _check(records, which, column)


def _check(records: Sequence[Record], which: str, column: str) -> None:
    values = [value for value in (_value(record.meta, column) for record in records) if value is not None]
    if not values:
        there = list(dict.fromkeys(name for record in records for name in _names(record.meta)))
        have = ", ".join(there[:_TOLD]) + (", ..." if len(there) > _TOLD else "") if there else "none beside the text"
        raise RemanenceError(f"--by {column}: the {which} rows have no such column; they have {have}.")
    if any(isinstance(value, Mapping | list | tuple) for value in values):
        raise RemanenceError(f"--by {column}: the column holds lists or objects; name one of plain values.")
    if (count := len({_word(value) for value in values})) > MOST:
        raise RemanenceError(
            f"--by {column}: the {which} rows have {count:,} values there; name a column of at most {MOST}."
        )


def _value(meta: Mapping[str, Any], column: str) -> Any:
    """A column, one of an object named `meta`, or a dotted way into an object; None where the row leaves it empty."""
    if column in meta:
        return None if meta[column] == "" else meta[column]
    inside = meta.get(NESTED)
    if isinstance(inside, Mapping) and column in inside:
        return _value(cast("Mapping[str, Any]", inside), column)
    head, dot, rest = column.partition(".")
    further = meta.get(head) if dot else None
    return _value(cast("Mapping[str, Any]", further), rest) if isinstance(further, Mapping) else None


def _names(meta: Mapping[str, Any]) -> list[str]:
    """Columns that could be named, those of objects with the way to them."""
    found: list[str] = []
    for name, value in meta.items():
        if isinstance(value, Mapping):
            way = "" if name == NESTED else f"{name}."
            found += [f"{way}{inner}" for inner in _names(cast("Mapping[str, Any]", value))]
        elif not isinstance(value, list | tuple):
            found.append(str(name))
    return found


def _word(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
