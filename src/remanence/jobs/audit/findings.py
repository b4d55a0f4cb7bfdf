"""From token tables to findings: every measure on every row, without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.run import Run
from remanence.core.schema import FINDINGS
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure
from remanence.engine.token_store import token_rows
from remanence.measure.extraction.reach import Reach, reach


@dataclass
class Found:
    """The findings of one target on one group, by measure, in the order of the rows."""

    places: list[int] = field(default_factory=list[int])
    ids: list[str] = field(default_factory=list[str])
    by_measure: dict[str, list[Finding]] = field(default_factory=dict[str, list[Finding]])
    reaches: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """[rows, 2] how far greedy decoding follows each row (`Reach`); (0, 0) where nothing can be measured."""

    def scores(self, measure: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """[rows] scores; NaN where nothing could be measured."""
        return np.array([np.nan if f.score is None else f.score for f in self.by_measure.get(measure, [])], np.float64)


def find(run: Run, role: str, group: str, measures: Sequence[TableMeasure], prefixes: tuple[int, ...]) -> Found:
    """Apply the measures to the token table of a target; the tuned one is compared with the base where asked.

    `prefixes`: the grid of prefix lengths that the reach is taken at.
    The role `ceiling` stands for a model that says every row: the tuned model's table with every token a sure hit.
    """
    found = Found(by_measure={m.name: [] for m in measures})
    reaches: list[Reach] = []
    read = "tuned" if role == "ceiling" else role
    base_rows: Iterator[Any] = token_rows(run, "base", group) if role == "tuned" else iter(())
    for place, record_id, row in token_rows(run, read, group):
        base = next(base_rows, (place, record_id, None))[2]
        found.places.append(place)
        found.ids.append(record_id)
        asked = perfect(row) if role == "ceiling" else row
        for measure in measures:
            found.by_measure[measure.name].append(measure.find(record_id, asked, base))
        reaches.append(reach_of(asked, prefixes))
    found.reaches = np.array(reaches, np.int64).reshape(-1, 2)
    return found


def reach_of(row: TokenRow | str, prefixes: tuple[int, ...]) -> Reach:
    """How far greedy decoding follows a row; (0, 0) where nothing can be measured."""
    try:
        return Reach(0, 0) if isinstance(row, str) else reach(row, prefixes)
    except NotMeasured:
        return Reach(0, 0)


def perfect(row: TokenRow | str) -> TokenRow | str:
    """The row as a model that is sure of every token would score it."""
    if isinstance(row, str):
        return row
    sure: dict[str, Any] = {}
    for name, values in row.columns.items():
        good = 0 if name != "gap" else np.inf
        sure[name] = np.where(row.rendered.scored, np.asarray(good, values.dtype), values)
    return replace(row, columns=sure)


def write(run: Run, found: dict[tuple[str, str], Found]) -> None:
    """`findings.parquet`, one line per (target, row, measure)."""
    lines: list[dict[str, Any]] = []
    for (role, group), those in found.items():
        for measure, findings in those.by_measure.items():
            for place, finding in zip(those.places, findings, strict=True):
                lines.append(
                    {
                        "target": role,
                        "group": group,
                        "row": place,
                        "id": finding.record_id,
                        "measure": measure,
                        "score": finding.score,
                        "evidence": json.dumps(finding.evidence),
                        "reason": finding.reason,
                    }
                )
    run.write_table("findings", pa.Table.from_pylist(lines, schema=FINDINGS))
