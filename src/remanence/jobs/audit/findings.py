"""Findings: every measure on every row, from the token tables of an audit in memory, without a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
from remanence.jobs.audit.measures import discoverable, table_measures
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import RowSummaries, extraction_measures, prefix_bits, schema
from remanence.measure.extraction.reach import Reach, reach


@dataclass
class GroupFindings:
    """The findings of one target on one group of rows, by measure, in the order of the rows."""

    places: list[int] = field(default_factory=list[int])
    ids: list[str] = field(default_factory=list[str])
    by_measure: dict[str, list[Finding]] = field(default_factory=dict[str, list[Finding]])
    reaches: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    """[rows, 2] how many tokens greedy decoding follows each row (`Reach`); (0, 0) where nothing can be measured."""

    def scores(self, measure: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """[rows] scores; NaN where nothing could be measured."""
        return np.array([np.nan if f.score is None else f.score for f in self.by_measure.get(measure, [])], np.float64)


Findings = Mapping[tuple[str, str], GroupFindings]
"""(role, group) -> its findings; the role `ceiling` is a model that generates every row."""


def findings_from_tokens(
    run: Run, with_base: bool, groups: Sequence[str], settings: AuditSettings
) -> dict[tuple[str, str], GroupFindings]:
    """Findings of both models and of the ceiling from the token tables of a run."""
    measures = table_measures(settings, with_base)
    without_base = [m for m in measures if not m.needs_base]
    found = dict[tuple[str, str], GroupFindings]()
    for group in groups:
        found["tuned", group] = find(run, "tuned", group, measures, settings.prefixes)
        if with_base:
            found["base", group] = find(run, "base", group, without_base, settings.prefixes)
    found["ceiling", "train"] = find(run, "ceiling", "train", extraction_measures(measures), settings.prefixes)
    return found


def find(run: Run, role: str, group: str, measures: Sequence[TableMeasure], prefixes: tuple[int, ...]) -> GroupFindings:
    """Apply the measures to the token table of a target. `prefixes`: the grid at which the reach is measured.

    The ceiling is the table of the tuned model with every token predicted with certainty.
    """
    found = GroupFindings(by_measure={m.name: [] for m in measures})
    reaches: list[Reach] = []
    base_rows: Iterator[Any] = token_rows(run, "base", group) if role == "tuned" else iter(())
    for place, record_id, row in token_rows(run, "tuned" if role == "ceiling" else role, group):
        base = next(base_rows, (place, record_id, None))[2]
        found.places.append(place)
        found.ids.append(record_id)
        judged = certain(row) if role == "ceiling" else row
        for measure in measures:
            found.by_measure[measure.name].append(measure.find(record_id, judged, base))
        reaches.append(reach_of(judged, prefixes))
    found.reaches = np.array(reaches, np.int64).reshape(-1, 2)
    return found


def reach_of(row: TokenRow | str, prefixes: tuple[int, ...]) -> Reach:
    """How many tokens greedy decoding follows a row; (0, 0) where nothing can be measured."""
    try:
        return Reach(0, 0) if isinstance(row, str) else reach(row, prefixes)
    except NotMeasured:
        return Reach(0, 0)


def certain(row: TokenRow | str) -> TokenRow | str:
    """The row as a model that predicts every token with certainty would score it."""
    if isinstance(row, str):
        return row
    columns: dict[str, Any] = {}
    for name, values in row.columns.items():
        best = 0 if name != "gap" else np.inf
        columns[name] = np.where(row.rendered.scored, np.asarray(best, values.dtype), values)
    return replace(row, columns=columns)


def write_findings(run: Run, found: Findings) -> None:
    """`findings.parquet`, one line per (target, row, measure)."""
    lines: list[dict[str, Any]] = []
    for (role, group), of_group in found.items():
        for measure, findings in of_group.by_measure.items():
            for place, finding in zip(of_group.places, findings, strict=True):
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


def summaries_of_findings(run: Run, found: Findings, group: str, settings: AuditSettings) -> RowSummaries:
    """The rows of a group as one block: what `rows.parquet` says of them beside what was found."""
    rows = [row for row in run.lines("rows") if row["group"] == group]
    distinct = [row for row in rows if row["same_as"] is None]
    roles = [role for role in ("tuned", "base") if (role, group) in found]
    fields = schema(roles, group, settings)
    values: dict[str, list[Any]] = {
        name: [row.get(name) for row in distinct] for name in fields.names if "." not in name
    }
    values["by"] = [list(row.get("by") or ()) for row in distinct]  # runs of early versions have no such column
    for role in [*roles, *(["ceiling"] if group == "train" else [])]:
        values |= {f"{role}.{name}": column for name, column in _columns(found[role, group], settings).items()}
        if role != "ceiling":
            values[f"{role}.recheck"] = _rechecks(run, role, group) or [None] * len(distinct)
    return RowSummaries(pa.table([pa.array(values[f.name], f.type) for f in fields], schema=fields), len(rows))


def _columns(found: GroupFindings, settings: AuditSettings) -> dict[str, list[Any]]:
    greedy = found.by_measure[discoverable(settings).name]
    verdicts: list[dict[int, bool]] = [finding.evidence.get("at", {}) for finding in greedy]
    columns: dict[str, list[Any]] = {
        "cuts": [prefix_bits(settings.prefixes, at) for at in verdicts],
        "hits": [prefix_bits(settings.prefixes, [p for p, hit in at.items() if hit]) for at in verdicts],
        "run": [finding.evidence.get("run") for finding in greedy],
        "reach": found.reaches[:, 0].tolist(),
        "room": found.reaches[:, 1].tolist(),
        "prefix": [None] * len(greedy),
        "reason": [finding.reason for finding in greedy],
    }
    return columns | {name: [f.score for f in findings] for name, findings in found.by_measure.items()}


def _rechecks(run: Run, role: str, group: str) -> list[str | None]:
    return [word for shard in run.shards(f"tokens/{role}-{group}") for word in shard.column("recheck").to_pylist()]
