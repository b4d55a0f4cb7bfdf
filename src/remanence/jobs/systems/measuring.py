"""A measure, an explanation or an attack by name: findings of every row on both sides, and what the scores say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, cast

import pyarrow as pa

from remanence.core import target as abilities
from remanence.core.attempt import judge
from remanence.core.catalogue import Entry
from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor
from remanence.core.run import Run
from remanence.core.schema import FINDINGS
from remanence.core.target import Target
from remanence.core.verbs import Attack, Measure
from remanence.engine.describe import model_facts, versions
from remanence.engine.executors import OpenTargets
from remanence.jobs.systems import attempts
from remanence.jobs.systems.build import parameters
from remanence.jobs.systems.data import Data
from remanence.jobs.systems.describe import ABILITIES
from remanence.jobs.systems.settings import RunSettings
from remanence.jobs.systems.shards import attack_shard, compute, finding_lines, measured, stored_attempts
from remanence.jobs.systems.summary import RANKING, ranking, reasons, scores_of, sentences, summary
from remanence.report.words import visible

TEXTS = pa.schema({"row": pa.int32(), "text": pa.string()})
"""The text of the rows at the top of the ranking, for a report that shows it. `texts.parquet`"""
MOST_TEXTS = 200
TOP = 5
"""Rows named in the terminal."""


@dataclass(frozen=True)
class Ran:
    """A finished run by name."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: the sentences and the figures behind them."""

    def lines(self) -> Iterator[str]:
        """What a terminal shows: the sentences, the worst rows by id, and why rows were not measured."""
        yield from self.verdict["sentences"]
        if self.run.has("ranking.parquet"):
            worst = self.run.read_table("ranking").slice(0, TOP).select(["id", "score"]).to_pylist()
            if worst:
                yield ""
                yield "highest scores: " + ", ".join(f"{visible(one['id'])} ({one['score']:.4g})" for one in worst)
        for group, found in self.verdict.get("not_measured", {}).items():
            for reason, count in found.items():
                yield f"{count:,} {group} rows not measured: {reason}"
        yield from self.verdict.get("notes", [])


def can(entry: Entry, target: Target) -> bool:
    """Whether a target has the abilities that a system needs."""
    return all(isinstance(target, getattr(abilities, ability)) for ability in entry.abilities)


def require(entry: Entry, target: Target) -> None:
    """Raise `RemanenceError` for a target without the abilities that a system needs."""
    if can(entry, target):
        return
    needed = " and ".join(ABILITIES[ability] for ability in entry.abilities)
    has = [name for name in ("Generates", "Scores", "Opens") if isinstance(target, getattr(abilities, name))]
    does = " and ".join(ABILITIES[name] for name in has) or "neither generates text nor scores tokens"
    try_ = f"Try `remanence list --needs {has[-1].lower()}`." if has else "`remanence list` shows what others need."
    raise RemanenceError(f"{entry.cls} needs a target that {needed}; {target.name} only {does}. {try_}")


def run_spec(
    entry: Entry, system: Any, data: dict[str, Any] | None, targets: Mapping[str, Target], settings: RunSettings
) -> dict[str, Any]:
    """`run.json` of a run by name."""
    models = {role: model_facts(targets[role]) if role in targets else None for role in ("tuned", "base")}
    return {
        "schema": 1,
        "job": "run",
        "system": {"name": entry.name, "verb": entry.verb, "title": entry.title, "parameters": parameters(system)},
        "settings": asdict(settings),
        "seed": settings.seed,
        "data": data,
        "models": models,
        "versions": versions(),
    }


def run_measure(
    run: Run,
    entry: Entry,
    system: Measure | Attack,
    targets: Mapping[str, Target],
    data: Data,
    settings: RunSettings,
    executor: Executor,
    open_targets: OpenTargets,
    *,
    show: bool,
) -> Ran:
    """Measure the rows that are not measured yet, then conclude: `findings`, `ranking`, `texts` and `verdict.json`."""
    compares = "base model" in entry.needs
    if compares and "base" not in targets:
        raise RemanenceError(f"{entry.cls} compares with the model before fine-tuning: add --base.")
    require(entry, targets["tuned"])
    roles = ["tuned"] if compares else [role for role, target in targets.items() if can(entry, target)]
    sides = [(role, group) for group in data.groups for role in roles]
    attack = system if isinstance(system, Attack) else getattr(system, "attack", None)
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if attack is not None:
        work = partial(attack_shard, attack=attack)
        size = settings.shard_rows
        compute(run, open_targets, executor, work, "attempts", sides, size, attempts.TABLE, show=show)
    if isinstance(system, Measure):
        system = system.with_corpus(data.train.records, data.unseen)
    for role, group in sides if attack is not None else ():
        asked = stored_attempts(run, role, group)
        if isinstance(system, Measure):
            again = replace(cast("Any", system), attack=attempts.Replay(asked))
            found = again(targets[role], group.records)
        else:
            every = [attempt for record in group.records for attempt in asked.get(record.id, ())]
            found = judge(entry.name, group.records, every)
        lines[role, group.name] = finding_lines(role, group, found)
    if attack is None:
        assert isinstance(system, Measure)
        size = settings.shard_rows if system.row_by_row else max(len(group.records) for group in data.groups)
        work = measured(system, compares)
        compute(run, open_targets, executor, work, "findings", sides, size, FINDINGS, show=show)
        for role, group in sides:
            lines[role, group.name] = [
                line for table in run.shards(f"findings/{role}-{group.name}") for line in table.to_pylist()
            ]
    return conclude(run, entry, lines, data, settings)


def conclude(
    run: Run,
    entry: Entry,
    lines: Mapping[tuple[str, str], Sequence[dict[str, Any]]],
    data: Data,
    settings: RunSettings,
) -> Ran:
    """The tables and the verdict, from the findings of every side."""
    everything = [line for side in lines.values() for line in side]
    run.write_table("findings", pa.Table.from_pylist(everything, schema=FINDINGS))
    scores = scores_of(lines, data)
    figures = summary(scores, data.copies, settings.alpha)
    ranked = ranking(lines, scores, data, figures["share"])
    run.write_table("ranking", pa.Table.from_pylist(ranked, schema=RANKING))
    plain = dict(zip(data.train.places, (record.plain for record in data.train.records), strict=True))
    texts = [{"row": one["row"], "text": plain[one["row"]].encode("utf-8", "replace").decode()} for one in ranked]
    run.write_table("texts", pa.Table.from_pylist(texts[:MOST_TEXTS], schema=TEXTS))
    verdict = {
        "sentences": sentences(entry.title, figures),
        **figures,
        "measured": {group.name: _counts(lines["tuned", group.name], len(group.records)) for group in data.groups},
        "not_measured": {group.name: reasons(lines["tuned", group.name]) for group in data.groups},
        "notes": _notes(data),
    }
    run.write_json("verdict.json", verdict)
    return Ran(run, verdict)


def _counts(lines: Sequence[dict[str, Any]], rows: int) -> dict[str, int]:
    return {"rows": rows, "measured": sum(line["score"] is not None for line in lines)}


def _notes(data: Data) -> list[str]:
    notes: list[str] = []
    rows, distinct = data.spec["train"]["rows"], len(data.train.records)
    if rows > distinct:
        notes.append(f"{rows:,} training rows, {distinct:,} of them distinct: equal rows are measured once.")
    if data.heldout is not None and (lost := int((~data.unseen_H).sum())):
        notes.append(f"{lost:,} held-out rows stand in the training data too, and are left out of the held-out side.")
    return notes
