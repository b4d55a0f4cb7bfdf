"""The rows of an audit: which are the same, which are nearly the same, and which held-out rows are not held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.record import Record
from remanence.core.schema import ROWS
from remanence.core.table import Rendered
from remanence.engine.columns import labels
from remanence.engine.rows import DistinctRows, distinct_rows, first_places
from remanence.text.duplicates import contamination, duplicate_counts


@dataclass(frozen=True)
class Audited:
    """The data of an audit, told apart."""

    train: DistinctRows
    heldout: DistinctRows | None
    copies: NDArray[np.int64]
    """[distinct training rows] rows with the same text, itself included."""
    near: NDArray[np.int64]
    """[distinct training rows] other rows that are nearly the same."""
    keep_H: NDArray[np.bool_]
    """[distinct held-out rows] True for those that stand nowhere in the training data: the floor."""
    num_train: int
    num_heldout: int
    by: tuple[str, ...] = ()
    """Columns of the data that rates are broken down by."""


def audited(train: Sequence[Record], heldout: Sequence[Record] | None, by: tuple[str, ...] = ()) -> Audited:
    """Tell the rows apart. A row that stands in the data several times is measured once."""
    firsts = distinct_rows("train", train)
    counts = duplicate_counts([r.plain for r in train])
    held = None if heldout is None else distinct_rows("heldout", heldout)
    keep = np.zeros(0, bool)
    if held is not None:
        keep = ~np.asarray(contamination([r.plain for r in firsts.records], [r.plain for r in held.records]), bool)
    places = np.array(firsts.places, np.int64)
    return Audited(
        train=firsts,
        heldout=held,
        copies=np.asarray(counts.exact, np.int64)[places],
        near=np.asarray(counts.near, np.int64)[places],
        keep_H=keep,
        num_train=len(train),
        num_heldout=0 if heldout is None else len(heldout),
        by=by,
    )


def to_arrow(
    groups: Sequence[tuple[Sequence[Record], DistinctRows, Sequence[Rendered | str]]], data: Audited
) -> pa.Table:
    """`rows.parquet`: every row of the data; what is measured is told for the first of equal rows."""
    lines: list[dict[str, Any]] = []
    for records, rows, rendered in groups:
        place_of = {place: k for k, place in enumerate(rows.places)}
        by = labels(records, data.by)
        for i, (record, first) in enumerate(zip(records, first_places(records), strict=True)):
            k = place_of[first]
            lines.append({"group": rows.group, "row": i, "id": record.id, "form": record.form} | _read(rendered[k]))
            lines[-1]["same_as"] = None if first == i else first
            lines[-1]["by"] = list(by[i])
            trained = rows.group == "train"
            lines[-1]["copies"] = int(data.copies[k]) if trained else 0
            lines[-1]["near"] = int(data.near[k]) if trained else 0
            lines[-1]["contaminated"] = None if trained else not bool(data.keep_H[k])
    return pa.Table.from_pylist(lines, schema=ROWS)


def _read(row: Rendered | str) -> dict[str, Any]:
    if isinstance(row, str):
        return {"reason": row}
    return {
        "num_tokens": int(row.ids.size),
        "num_supervised": int(row.scored.sum()),
        "num_truncated": row.num_truncated,
        "num_supervised_truncated": row.num_supervised_truncated,
    }
