"""The token pass: every distinct row is scored once per model, in shards that an executor computes and this process
writes. A shard that has been written is not computed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import pyarrow as pa

from remanence.core.executor import Executor
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.table import TokenRow
from remanence.core.target import Scores, Target
from remanence.engine.executors import OpenTargets
from remanence.engine.rows import DistinctRows
from remanence.engine.stages import run_shards
from remanence.engine.token_store import to_arrow
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace

ROUNDING = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""Logit gaps below which a greedy verdict is repeated in float32 at batch size 1, by the dtype of the pass."""


@dataclass(frozen=True)
class Shard:
    """A shard of a token table: rows of one group, scored by one target."""

    role: str
    group: str
    index: int
    records: Sequence[Record]
    places: Sequence[int]

    @property
    def name(self) -> str:
        """Name of its table in the run folder."""
        return f"tokens/{self.role}-{self.group}-{self.index:05d}"

    @property
    def tables(self) -> tuple[str, ...]:
        """See `ShardTask`."""
        return (self.name,)

    @property
    def bar(self) -> tuple[str, str]:
        """See `ShardTask`."""
        return self.role, self.group

    @property
    def size(self) -> int:
        """See `ShardTask`."""
        return len(self.records)


def shards(role: str, rows: DistinctRows, size: int) -> Iterator[Shard]:
    """The rows of a group in shards of `size`, in order."""
    for index, start in enumerate(range(0, len(rows.records), size)):
        part = slice(start, start + size)
        yield Shard(role, rows.group, index, rows.records[part], rows.places[part])


def run_token_pass(
    run: Run,
    open_targets: OpenTargets,
    roles: Sequence[str],
    groups: Sequence[DistinctRows],
    columns: Sequence[str],
    verdict: Discoverable,
    executor: Executor,
    *,
    dtype: str,
    shard_rows: int,
    show: bool,
) -> None:
    """Write the token tables of every role on every group. `verdict` and `dtype`: see `recheck`."""
    work = partial(token_table, columns=columns, verdict=verdict, dtype=dtype)
    sides = [(role, rows) for rows in groups for role in roles]
    bars = {(role, rows.group): (f"{role} model on {rows.group} rows", len(rows.records)) for role, rows in sides}
    tasks = (shard for role, rows in sides for shard in shards(role, rows, shard_rows))

    def write(shard: Shard, table: pa.Table) -> None:
        run.write_table(shard.name, table)

    run_shards(run, tasks, open_targets, work, write, executor, bars, show=show)


def token_table(
    targets: Mapping[str, Target], shard: Shard, columns: Sequence[str], verdict: Discoverable, dtype: str
) -> pa.Table:
    """Score the rows of a shard and repeat those whose verdict is within rounding error."""
    target = cast(Scores, targets[shard.role])
    rows = list(target.score(shard.records, columns))
    rows, rechecks = recheck(target, rows, columns, verdict, dtype)
    return to_arrow(shard.group, shard.places, [record.id for record in shard.records], rows, rechecks)


def recheck(
    target: Scores, rows: list[TokenRow | str], columns: Sequence[str], verdict: Discoverable, dtype: str
) -> tuple[list[TokenRow | str], list[str | None]]:
    """Score rows whose greedy verdict is within rounding error again, in float32 at batch size 1.

    Returns the rows, with the second result in the place of the first, and for each row `agrees`, `overturned` or None.
    """
    outcomes: list[str | None] = [None] * len(rows)
    if not isinstance(target, HuggingFace):
        return rows, outcomes
    for i, row in enumerate(rows):
        if isinstance(row, str) or not within_rounding(row, verdict, ROUNDING[dtype]):
            continue
        second = target.alone_in_float32(row.rendered, columns)
        same = np.array_equal(second.columns["rank"] == 0, row.columns["rank"] == 0)
        rows[i], outcomes[i] = second, "agrees" if same else "overturned"
    return rows, outcomes


def within_rounding(row: TokenRow, verdict: Discoverable, limit: float) -> bool:
    """Whether a verdict at some prefix length would change if logits moved by `limit`."""
    finding = verdict.find("", row)
    return any(abs(gap) < limit for gap in finding.evidence.get("gap", {}).values())
