"""Distinct rows: rows that read the same are measured once, at the place where they first occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from remanence.core.record import Record

TEMPLATE_COLUMNS = ("tools", "chat_template_kwargs")
"""Columns other than the messages that a chat template reads."""


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of a group, with their places in the data."""

    group: str
    records: Sequence[Record]
    places: Sequence[int]


def distinct_rows(group: str, records: Sequence[Record]) -> DistinctRows:
    """The first of each set of equal rows, in the order of the data."""
    places = [i for i, first in enumerate(first_places(records)) if first == i]
    return DistinctRows(group, [records[i] for i in places], places)


def first_places(records: Sequence[Record]) -> list[int]:
    """For each row the place of the first row with the same content, including the tools of a chat."""
    seen: dict[tuple[Any, ...], int] = {}
    places: list[int] = []
    for i, record in enumerate(records):
        turns = [sorted(turn.items()) for turn in record.messages or ()]
        template = (record.meta.get(column) for column in TEMPLATE_COLUMNS)
        chat = None if record.messages is None else repr([turns, *template])
        places.append(seen.setdefault((record.text, record.prompt, record.completion, chat), i))
    return places
