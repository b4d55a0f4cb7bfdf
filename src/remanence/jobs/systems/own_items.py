"""A benchmark, a theory or an experiment by name: they bring their own items, so no training data are given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.catalogue import Entry
from remanence.core.executor import Executor
from remanence.core.finding import Finding
from remanence.core.run import Run
from remanence.core.schema import FINDINGS
from remanence.core.target import Target
from remanence.core.verbs import Benchmark, Theory
from remanence.jobs.systems.data import Group
from remanence.jobs.systems.measuring import Ran, require
from remanence.jobs.systems.shards import finding_lines
from remanence.jobs.systems.summary import reasons
from remanence.stats.intervals import bootstrap, clopper_pearson

WHOLE = "all items"


def run_benchmark(run: Run, entry: Entry, system: Benchmark, targets: Mapping[str, Target], seed: int) -> Ran:
    """The scores by part with intervals, beside chance and people; base model on the same items where there is one."""
    require(entry, targets["tuned"])
    findings = {role: list(system(target)) for role, target in targets.items()}
    lines = [line for role, found in findings.items() for line in finding_lines(role, _group("items", found), found)]
    run.write_table("findings", pa.Table.from_pylist(lines, schema=FINDINGS))
    scores = {role: part_scores(found, system.chance, seed) for role, found in findings.items()}
    verdict = {
        "sentences": [_benchmark_sentence(entry, part, one, system.human) for part, one in scores["tuned"].items()],
        "scores": scores,
        "human": system.human,
        "not_measured": {"items": reasons([line for line in lines if line["target"] == "tuned"])},
        "notes": [],
    }
    run.write_json("verdict.json", verdict)
    return Ran(run, verdict)


def part_scores(findings: Sequence[Finding], chance: float | None, seed: int) -> dict[str, dict[str, Any]]:
    """Mean score of all items and of each part: value, low, high, n, chance.

    Clopper-Pearson where every score is 0 or 1, else a bootstrap over items. Chance is the mean of the items' own where
    they have one.
    """
    parts: dict[str, list[Finding]] = {WHOLE: [f for f in findings if f.score is not None]}
    for finding in parts[WHOLE]:
        part = finding.evidence.get("part")
        if part is not None:
            parts.setdefault(str(part), []).append(finding)
    found: dict[str, dict[str, Any]] = {}
    for part, those in parts.items():
        values = np.array([finding.score for finding in those], np.float64)
        if not values.size:
            found[part] = {"value": None, "low": None, "high": None, "n": 0, "chance": chance}
            continue
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        low, high = clopper_pearson(int(values.sum()), values.size) if binary else bootstrap(values, np.mean, seed)
        own = [finding.evidence.get("chance", chance) for finding in those]
        mean = (
            None if any(one is None for one in own) else float(np.mean([float(one) for one in own if one is not None]))
        )
        found[part] = {"value": float(values.mean()), "low": _number(low), "high": _number(high), "n": int(values.size),
                       "chance": mean}  # fmt: skip
    return found


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _benchmark_sentence(entry: Entry, part: str, one: Mapping[str, Any], human: float | None) -> str:
    if one["value"] is None:
        return f"{entry.title}, {part}: no item could be scored."
    interval = "" if one["low"] is None else f" (95 % interval {one['low']:.3f} to {one['high']:.3f})"
    against = [] if one["chance"] is None else [f"chance {one['chance']:.3f}"]
    against += [] if human is None or part != WHOLE else [f"people {human:.3f}"]
    beside = f"; {', '.join(against)}" if against else ""
    return f"{entry.title}, {part}: {one['value']:.3f}{interval} over {one['n']:,} items{beside}."


def run_theory(run: Run, entry: Entry, system: Theory, seed: int) -> Ran:
    """The findings of one seed."""
    found = list(system(seed))
    lines = finding_lines("none", _group("cases", found), found)
    run.write_table("findings", pa.Table.from_pylist(lines, schema=FINDINGS))
    told = [f"{f.record_id}: {f.reason if f.score is None else format(f.score, '.4g')}" for f in found]
    verdict = {
        "sentences": [f"{entry.title}: {entry.caption}", *told],
        "not_measured": {"cases": reasons(lines)},
        "notes": [],
    }
    run.write_json("verdict.json", verdict)
    return Ran(run, verdict)


def run_experiment(run: Run, entry: Entry, experiment: Any, seeds: Sequence[int], executor: Executor) -> Ran:
    """The verdict of every seed, and over all of them; as `remanence replicate`, with the fields that were set."""
    from remanence.replications.frame.run import summary, verdicts
    from remanence.replications.frame.stored import WORDS, sentence

    judged = list(verdicts(experiment, seeds, executor))
    over_all = sentence([verdict.holds for _, verdict in judged])
    verdict = {
        "sentences": [
            f"{experiment.claim} Over all seeds: {over_all}.",
            *(f"Seed {seed}: {WORDS[one.holds]} here. {one.text}" for seed, one in judged),
        ],
        "seeds": [summary(seed, one) for seed, one in judged],
        "not_measured": {},
        "notes": [],
    }
    run.write_json("verdict.json", verdict)
    return Ran(run, verdict)


def _group(name: str, findings: Sequence[Finding]) -> Group:
    ids = [finding.record_id for finding in findings]
    return Group(name, (), ids, list(range(len(ids))))
