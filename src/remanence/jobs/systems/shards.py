"""Findings and attempts in shards: an executor computes them, this process writes them, none is computed twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from remanence.core.attempt import Attempt
from remanence.core.executor import Executor
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Target
from remanence.core.verbs import Attack, Measure
from remanence.engine.executors import OpenTargets
from remanence.engine.stages import run_shards
from remanence.jobs.systems import attempts as tables
from remanence.jobs.systems.data import Group

Lines = list[dict[str, Any]]


@dataclass(frozen=True)
class Shard:
    """Some rows of one side, for one target."""

    kind: str
    """Folder: findings or attempts."""
    role: str
    group: str
    index: int
    records: Sequence[Record]
    ids: Sequence[str]
    places: Sequence[int]

    @property
    def name(self) -> str:
        """Name of its table in the run folder."""
        return f"{self.kind}/{self.role}-{self.group}-{self.index:05d}"

    @property
    def bar(self) -> tuple[str, str]:
        """Key of its progress bar."""
        return self.role, self.group

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.records)

    @property
    def tables(self) -> tuple[str, ...]:
        """The one table that it writes."""
        return (self.name,)


def shards_of(kind: str, role: str, group: Group, size: int) -> Iterator[Shard]:
    """The rows of a side in shards of `size`, in order."""
    for index, start in enumerate(range(0, len(group.records), size)):
        part = slice(start, start + size)
        yield Shard(kind, role, group.name, index, group.records[part], group.ids[part], group.places[part])


def compute(
    run: Run,
    open_targets: OpenTargets,
    executor: Executor,
    work: Callable[[Mapping[str, Target], Shard], Lines],
    kind: str,
    sides: Sequence[tuple[str, Group]],
    size: int,
    schema: pa.Schema,
    *,
    show: bool,
) -> None:
    """Write the missing shards of every (role, group)."""
    bars = {
        (role, group.name): (f"{kind}: {role} model, {group.name} rows", len(group.records)) for role, group in sides
    }
    tasks = (shard for role, group in sides for shard in shards_of(kind, role, group, size))

    def write(shard: Shard, lines: Lines) -> None:
        run.write_table(shard.name, pa.Table.from_pylist(lines, schema=schema))

    run_shards(run, tasks, open_targets, work, write, executor, bars, show=show)


def measure_shard(targets: Mapping[str, Target], shard: Shard, measure: Measure, compares: bool) -> Lines:
    """The findings of a measure on the rows of a shard; `compares`: it is given the base model too."""
    more = (targets["base"],) if compares else ()
    call: Any = measure
    return finding_lines(shard.role, shard, call(targets[shard.role], shard.records, *more))


def finding_lines(role: str, rows: Shard | Group, findings: Sequence[Finding]) -> Lines:
    """The lines of `findings.parquet`, one per row, in order."""
    group = rows.group if isinstance(rows, Shard) else rows.name
    return [
        {
            "target": role,
            "group": group,
            "row": place,
            "id": record_id,
            "measure": finding.measure,
            "score": finding.score,
            "evidence": json.dumps(_plain(finding.evidence), ensure_ascii=True),
            "reason": finding.reason,
        }
        for place, record_id, finding in zip(rows.places, rows.ids, findings, strict=True)
    ]


def _plain(value: Any) -> Any:
    """Evidence as JSON has it: keys are text, numpy numbers are numbers, infinity and not-a-number are words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item() if getattr(value, "size", 1) == 1 else value.tolist()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value


def attack_shard(targets: Mapping[str, Target], shard: Shard, attack: Attack) -> Lines:
    """The attempts of an attack on the rows of a shard."""
    target: Any = targets[shard.role]
    found = {record.id: (place, own) for record, place, own in zip(shard.records, shard.places, shard.ids, strict=True)}
    lines: Lines = []
    for line in tables.to_lines(attack(target, shard.records), target, shard.role, shard.group):
        place, own = found[line.pop("record_id")]
        lines.append({**line, "row": place, "id": own})
    return lines


def stored_attempts(run: Run, role: str, group: Group) -> dict[str, list[Attempt]]:
    """The attempts on a side by the id that its records have here."""
    names = {place: record.id for place, record in zip(group.places, group.records, strict=True)}
    found: dict[str, list[Attempt]] = {}
    for table in run.shards(f"attempts/{role}-{group.name}"):
        for line in table.to_pylist():
            found.setdefault(names[line["row"]], []).append(tables.from_line(line, names[line["row"]]))
    return found


def measured(measure: Measure, compares: bool) -> Callable[[Mapping[str, Target], Shard], Lines]:
    """The work of a shard of findings."""
    return partial(measure_shard, measure=measure, compares=compares)
