"""The passes over the models: every distinct row once, shard by shard, each shard written before the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.progress import track
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Scores
from remanence.core.verbs import TableMeasure
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.store import to_arrow
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace

NARROW = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""Logit gaps below which a greedy verdict is repeated in float32 at batch size 1, by the arithmetic of the pass."""


@dataclass(frozen=True)
class Rows:
    """The distinct rows of a group, with their places in the data."""

    group: str
    records: Sequence[Record]
    places: Sequence[int]


def pass_over(
    run: Run,
    role: str,
    target: Scores,
    rows: Rows,
    settings: AuditSettings,
    measures: Sequence[TableMeasure],
    *,
    show: bool,
) -> None:
    """Fill the token table of a target on a group; shards that are there already are left as they are."""
    columns = settings.columns(measures)
    with track(f"{role} model on {rows.group} rows", len(rows.records), show=show) as advance:
        for index, at in enumerate(range(0, len(rows.records), settings.shard_rows)):
            part = slice(at, at + settings.shard_rows)
            records = rows.records[part]
            name = f"tokens/{role}-{rows.group}-{index:05d}"
            if not run.has(f"{name}.parquet"):
                scored = list(target.score(records, columns))
                scored, rechecks = recheck(target, scored, columns, settings)
                run.write_table(
                    name, to_arrow(rows.group, rows.places[part], [r.id for r in records], scored, rechecks)
                )
            advance(len(records))


def recheck(
    target: Scores, rows: list[TokenRow | str], columns: Sequence[str], settings: AuditSettings
) -> tuple[list[TokenRow | str], list[str | None]]:
    """Rows whose greedy verdict hangs on rounding, again in float32 at batch size 1; that second word counts."""
    said: list[str | None] = [None] * len(rows)
    if not isinstance(target, HuggingFace):
        return rows, said
    limit = NARROW[settings.dtype]
    for i, row in enumerate(rows):
        if isinstance(row, str) or not hangs_on_rounding(row, settings.discoverable, limit):
            continue
        again = target.alone_in_float32(row.rendered, columns)
        same = np.array_equal(again.columns["rank"] == 0, row.columns["rank"] == 0)
        rows[i], said[i] = again, "agrees" if same else "overturned"
    return rows, said


def hangs_on_rounding(row: TokenRow, measure: Discoverable, limit: float) -> bool:
    """Whether some verdict on the grid would flip if logits moved by `limit`."""
    finding = measure.find("", row)
    return any(abs(gap) < limit for gap in finding.evidence.get("gap", {}).values())


def render_all(target: Scores, records: Sequence[Record]) -> list[Rendered | str]:
    """Rows as the model reads them, or why one cannot be measured."""
    rendered: list[Rendered | str] = []
    for record in records:
        try:
            row = target.render(record)
            _ = row.start
            rendered.append(row)
        except NotMeasured as why:
            rendered.append(why.reason)
    return rendered


def rendered_fingerprint(rows: Sequence[Rendered | str]) -> str:
    """Hash of what the model reads: another tokenizer or chat template gives another one."""

    def content(row: Rendered | str) -> bytes:
        if isinstance(row, str):
            return row.encode()
        source = b"" if row.source is None else row.source.tobytes()
        return b"|".join((row.ids.tobytes(), row.supervised.tobytes(), source))

    return fingerprint(*map(content, rows))
