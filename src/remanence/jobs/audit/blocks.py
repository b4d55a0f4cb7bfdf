"""A block: some hundred rows of the data, scored by both models and kept as one short line per row.

What the ordinary audit reads from its token tables, the same measures read here while the tokens are at hand; the
tokens are then dropped. One table per block, with what the rates, the membership scores and the ranking need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.target import Scores, Target
from remanence.engine.columns import labels
from remanence.engine.token_pass import recheck
from remanence.jobs.audit.measures import discoverable, table_columns, table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import extraction_measures, schema
from remanence.jobs.audit.summarize import side
from remanence.jobs.audit.survey import Survey

LONGEST = 8
"""Lines of a block, in shards of distinct rows: a row that stands there a thousand times does not make it endless."""


@dataclass(frozen=True)
class Line:
    """What is known of a row of a block before it is scored."""

    place: int
    same_as: int | None
    """First row that reads the same, which is scored in its stead."""
    copies: int
    near: int | None
    contaminated: bool | None


@dataclass(frozen=True)
class Block:
    """The task of one worker: rows that follow one another in the data."""

    group: str
    index: int
    records: Sequence[Record]
    lines: Sequence[Line]

    @property
    def name(self) -> str:
        """Its table in the run folder."""
        return f"blocks/{self.group}-{self.index:05d}"

    @property
    def tables(self) -> tuple[str, ...]:
        """See `ShardTask`."""
        return (self.name,)

    @property
    def bar(self) -> str:
        """See `ShardTask`."""
        return self.group

    @property
    def size(self) -> int:
        """See `ShardTask`."""
        return len(self.records)


def blocks(group: str, records: Iterable[Record], known: Survey, size: int) -> Iterator[Block]:
    """The rows of a group in blocks of `size` distinct rows (and repeats in between), in order."""
    held: list[Record] = []
    lines: list[Line] = []
    index = distinct = 0
    for place, record in enumerate(records):
        line = _line(group, place, known)
        held.append(record)
        lines.append(line)
        distinct += line.same_as is None
        if distinct == size or len(held) == size * LONGEST:
            yield Block(group, index, held, lines)
            held, lines, distinct = [], [], 0
            index += 1
    if held:
        yield Block(group, index, held, lines)


def _line(group: str, place: int, known: Survey) -> Line:
    if group == "train":
        first = int(known.first_N[place])
        near = None if known.near_N is None else int(known.near_N[place])
        return Line(place, None if first == place else first, int(known.copies_N[place]), near, None)
    first = known.first_held[place]
    return Line(place, None if first == place else first, 0, 0, first in known.contaminated)


def block_table(targets: Mapping[str, Target], block: Block, settings: AuditSettings) -> pa.Table:
    """The work of one block: score its distinct rows, look again where rounding decides, apply every measure."""
    at = [i for i, line in enumerate(block.lines) if line.same_as is None]
    records = [block.records[i] for i in at]
    measures = table_measures(settings, "base" in targets)
    columns = table_columns(measures)
    scored: dict[str, list[TokenRow | str]] = {}
    values: dict[str, list[Any]] = {}
    for role, target in targets.items():
        first = list(cast(Scores, target).score(records, columns))
        scored[role], values[f"{role}.recheck"] = recheck(
            cast(Scores, target), first, columns, discoverable(settings), settings.dtype
        )
    for role, rows in scored.items():
        base = scored.get("base") if role == "tuned" else None
        mine = [m for m in measures if role == "tuned" or not m.needs_base]
        values |= {f"{role}.{name}": found for name, found in side(rows, base, mine, settings).items()}
    if block.group == "train":
        top = side(scored["tuned"], None, extraction_measures(measures), settings, sure=True)
        values |= {f"ceiling.{name}": found for name, found in top.items()}
    values |= _facts(scored["tuned"])
    return _table(block, at, values, schema(targets, block.group, settings), settings.by)


def _facts(rows: Sequence[TokenRow | str]) -> dict[str, list[Any]]:
    """How long the rows are, and what training cut off."""
    read = [None if isinstance(row, str) else row.rendered for row in rows]
    return {
        "num_tokens": [None if r is None else int(r.ids.size) for r in read],
        "num_supervised": [0 if r is None else int(r.scored.sum()) for r in read],
        "num_truncated": [None if r is None else r.num_truncated for r in read],
        "num_supervised_truncated": [None if r is None else r.num_supervised_truncated for r in read],
    }


def _table(
    block: Block, at: Sequence[int], values: dict[str, list[Any]], columns: pa.Schema, by: Sequence[str]
) -> pa.Table:
    """The values of the rows at `at`, and nulls for the others, beside what is known of every row."""
    known: dict[str, Any] = {name: [getattr(line, name) for line in block.lines] for name in _KNOWN}
    known["row"] = [line.place for line in block.lines]
    known["id"] = [record.id for record in block.records]
    known["by"] = [list(label) for label in labels(block.records, by)]
    place = {i: k for k, i in enumerate(at)}
    spread = pa.array([place.get(i) for i in range(len(block.lines))], pa.int32())

    def column(field: pa.Field) -> pa.Array:
        if field.name in known:
            return pa.array(known[field.name], field.type)
        return pa.array(values[field.name], field.type).take(spread)

    return pa.table([column(field) for field in columns], schema=columns)


_KNOWN = ("same_as", "copies", "near", "contaminated")
