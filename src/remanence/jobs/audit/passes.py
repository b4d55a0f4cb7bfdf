"""The passes over the models: every distinct row once, in shards that an executor fills and this process writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.progress import tracks
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Scores, Target
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


Opens: TypeAlias = Callable[[], Mapping[str, Target]]
"""Opens the targets of an audit, by role: tuned, base."""


def opened_for(executor: Executor, targets: Mapping[str, Target], opens: Opens | None) -> Opens:
    """What the workers of an executor open: in this process the targets that are open, elsewhere the same anew.

    Raises `RemanenceError` when there is no way to open them anew.
    """
    if isinstance(executor, Serial):
        return lambda: targets
    if opens is None:
        raise RemanenceError(
            f"Workers open the model themselves, so {targets['tuned'].name} cannot be handed over as an object: "
            "pass the folder or Hub name of every model, or use --executor serial."
        )
    return opens


@dataclass(frozen=True)
class Shard:
    """A shard of a token table: which rows, and whose table."""

    role: str
    group: str
    index: int
    records: Sequence[Record]
    places: Sequence[int]

    @property
    def name(self) -> str:
        """Its table in the run folder."""
        return f"tokens/{self.role}-{self.group}-{self.index:05d}"


def shards(role: str, rows: Rows, size: int) -> Iterator[Shard]:
    """The rows of a group in shards of `size`, in order."""
    for index, at in enumerate(range(0, len(rows.records), size)):
        part = slice(at, at + size)
        yield Shard(role, rows.group, index, rows.records[part], rows.places[part])


def pass_over(
    run: Run,
    opens: Opens,
    roles: Sequence[str],
    groups: Sequence[Rows],
    settings: AuditSettings,
    measures: Sequence[TableMeasure],
    executor: Executor,
    *,
    show: bool,
) -> None:
    """Fill the token tables of every role on every group; shards that are there already are not handed out."""
    work = partial(token_table, columns=settings.columns(measures), settings=settings)
    sides = [(role, rows) for rows in groups for role in roles]
    bars = {(role, rows.group): (f"{role} model on {rows.group} rows", len(rows.records)) for role, rows in sides}
    with tracks(bars, show=show) as advance:

        def missing() -> Iterator[Shard]:
            for role, rows in sides:
                for shard in shards(role, rows, settings.shard_rows):
                    if run.has(f"{shard.name}.parquet"):
                        advance((role, rows.group), len(shard.records))
                    else:
                        yield shard

        for shard, table in executor.map(opens, work, missing()):
            run.write_table(shard.name, table)
            advance((shard.role, shard.group), len(shard.records))


def token_table(
    targets: Mapping[str, Target], shard: Shard, columns: Sequence[str], settings: AuditSettings
) -> pa.Table:
    """The work of one shard: score its rows, look again where rounding decides."""
    target = cast(Scores, targets[shard.role])
    scored, rechecks = recheck(target, list(target.score(shard.records, columns)), columns, settings)
    return to_arrow(shard.group, shard.places, [r.id for r in shard.records], scored, rechecks)


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


def rendered_fingerprint(rows: Sequence[Rendered | str]) -> str:
    """Hash of what the model reads: another tokenizer or chat template gives another one."""

    def content(row: Rendered | str) -> bytes:
        if isinstance(row, str):
            return row.encode()
        source = b"" if row.source is None else row.source.tobytes()
        return b"|".join((row.ids.tobytes(), row.supervised.tobytes(), source))

    return fingerprint(*map(content, rows))
