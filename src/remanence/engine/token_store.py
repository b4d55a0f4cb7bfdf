"""Token rows as Arrow tables and back, so that a run can be scored again without the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.run import Run
from remanence.core.schema import TOKENS
from remanence.core.table import Rendered, TokenRow


def to_arrow(
    group: str,
    places: Sequence[int],
    ids: Sequence[str],
    rows: Sequence[TokenRow | str],
    rechecks: Sequence[str | None],
) -> pa.Table:
    """A shard: one line per row, the columns of the token table as lists of float32 (ranks of int32)."""
    names = sorted({name for row in rows if isinstance(row, TokenRow) for name in row.columns})
    lines: dict[str, list[Any]] = {field.name: [] for field in TOKENS} | {name: [] for name in names}
    for place, record_id, row, recheck in zip(places, ids, rows, rechecks, strict=True):
        lines["group"].append(group)
        lines["row"].append(place)
        lines["id"].append(record_id)
        lines["recheck"].append(recheck)
        if isinstance(row, str):
            lines["reason"].append(row)
            for name in ("first", "ids", "supervised", "source", "text", *names):
                lines[name].append(None)
            continue
        lines["reason"].append(None)
        lines["first"].append(row.rendered.first)
        lines["ids"].append(row.rendered.ids)
        lines["supervised"].append(row.rendered.supervised)
        lines["source"].append(row.rendered.source)
        lines["text"].append(row.text.encode("utf-8", "replace").decode())
        for name in names:
            lines[name].append(row.columns[name])
    kinds = {name: pa.list_(pa.int32() if name == "rank" else pa.float32()) for name in names}
    schema = pa.schema([*TOKENS, *kinds.items()])
    return pa.table({field.name: pa.array(lines[field.name], field.type) for field in schema}, schema=schema)


def from_arrow(table: pa.Table) -> Iterator[tuple[int, str, TokenRow | str]]:
    """(row, id, token row or reason) for each line of a shard."""
    extra = [name for name in table.column_names if name not in TOKENS.names]
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    for i in range(table.num_rows):
        place, record_id = columns["row"][i].as_py(), columns["id"][i].as_py()
        reason = columns["reason"][i].as_py()
        if reason is not None:
            yield place, record_id, reason
            continue
        source = columns["source"][i]
        rendered = Rendered(
            ids=_values(columns["ids"][i]).astype(np.int32),
            supervised=_values(columns["supervised"][i]).astype(bool),
            source=_values(source).astype(np.int32) if source.is_valid else None,
        )
        yield (
            place,
            record_id,
            TokenRow(rendered, {n: _values(columns[n][i]) for n in extra}, columns["text"][i].as_py()),
        )


def _values(cell: Any) -> Any:
    return cell.values.to_numpy(zero_copy_only=False)


def token_rows(run: Run, target: str, group: str) -> Iterator[tuple[int, str, TokenRow | str]]:
    """All token rows of a target on a group of rows, in order."""
    for shard in run.shards(f"tokens/{target}-{group}"):
        yield from from_arrow(shard)
