"""The study from end to end: draw rows, evaluate base models and arms, pool the results, and write the verdict.

Every unit writes its tables and is skipped when they exist, so a killed study continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor
from remanence.core.progress import track
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.engine.describe import versions
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.data import Rows, split_rows, task_records, write_split
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.summary import EFFECTS, Summed, by_recipe, effect_lines, read_recipe, summed
from remanence.jobs.study.verdict import verdict
from remanence.jobs.study.workers import Unit, run_units
from remanence.models.weights import model_folder, title_of, weight_files, weights_fingerprint


@dataclass(frozen=True)
class Studied:
    """The result of a study."""

    run: Run
    verdict: dict[str, Any]


def run_study(
    tasks: Mapping[str, Rows],
    models: Mapping[str, str],
    arms: Sequence[Arm],
    out: Path | str,
    settings: StudySettings,
    *,
    resume: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    keep_models: bool = False,
    show: bool = True,
) -> Studied:
    """Run every arm and write `effects.parquet`, `verdict.json`. `models`: name -> folder or Hub name.

    Arms are independent: they run in `workers` processes of this machine, or by an `executor`.
    """
    arms = list(dict.fromkeys(arms))
    _check(tasks, models, arms)
    records = {task: task_records(task, tasks[task]) for task in dict.fromkeys(arm.task for arm in arms)}
    run = Run.begin(out, _spec(records, models, arms, settings), resume=resume)
    _write_rows(run, records, arms, settings, show=show)
    bases = [Unit("base", arm, models[arm.model], settings) for arm in {a.base_slug: a for a in arms}.values()]
    run_units(run, "Evaluating base models", bases, workers=workers, executor=executor, show=show)
    units = [Unit("arm", arm, models[arm.model], settings, keep_models) for arm in arms]
    run_units(run, "Fine-tuning and evaluating arms", units, workers=workers, executor=executor, show=show)
    return conclude(run, arms, settings)


def conclude(run: Run, arms: Sequence[Arm], settings: StudySettings) -> Studied:
    """Effects and verdict, from what is written."""
    pooled: list[Summed] = []
    for group in by_recipe(arms).values():
        pooled += summed(read_recipe(run, group), settings)
    lines = [line for summary in pooled for line in effect_lines(summary)]
    run.write_table("effects", pa.Table.from_pylist(lines, schema=EFFECTS))
    conclusion = verdict(run, arms, pooled, settings)
    run.write_json("verdict.json", conclusion)
    return Studied(run, conclusion)


def rescore_study(run: Run, **changed: Any) -> Studied:
    """Judge every arm again from its tables, without a model; `changed` are settings such as `alpha` or `rounds`.

    Raises `RemanenceError` when an arm has not been measured, or for a setting that needs the model.
    """
    from remanence.jobs.study.judging import judge_unit

    spec = run.spec
    if needed := sorted(set(changed) - {"alpha", "p", "queries", "rounds", "prefixes", "detectors"}):
        raise RemanenceError(f"{needed[0]} cannot change without the models: run the study anew.")
    settings = StudySettings.of_spec(spec["settings"] | changed)
    arms = [Arm(**arm) for arm in spec["arms"]]
    for slug in dict.fromkeys(arm.base_slug for arm in arms):
        judge_unit(run, f"bases/{slug}", f"bases/{slug}", "base", settings)
    for arm in arms:
        judge_unit(run, f"arms/{arm.slug}", f"bases/{arm.base_slug}", "tuned", settings)
    return conclude(run, arms, settings)


def _write_rows(
    run: Run, records: Mapping[str, Sequence[Record]], arms: Sequence[Arm], settings: StudySettings, *, show: bool
) -> None:
    """`data/...`: the split of every task and seed; drawn before anything is trained."""
    wanted = {arm.data_slug: (arm.task, arm.seed) for arm in arms}
    with track("Drawing rows", len(wanted), show=show) as advance:
        for name, (task, seed) in wanted.items():
            if not run.has(f"data/{name}.json"):
                write_split(run, name, split_rows(task, records[task], settings, seed))
            advance(1)


def _check(tasks: Mapping[str, Rows], models: Mapping[str, str], arms: Sequence[Arm]) -> None:
    if not arms:
        raise RemanenceError("The study has no arm: give at least one task, one model and one seed.")
    for arm in arms:
        for what, name, known in (("task", arm.task, tasks), ("model", arm.model, models)):
            if name not in known:
                raise RemanenceError(f"There is no {what} {name!r}: choose from {', '.join(known)}.")
    if len({arm.slug for arm in arms}) < len(arms):
        raise RemanenceError("Two arms differ only in characters that a folder name cannot contain: rename a task.")


def _spec(
    records: Mapping[str, Sequence[Record]], models: Mapping[str, str], arms: Sequence[Arm], settings: StudySettings
) -> dict[str, Any]:
    used = dict.fromkeys(arm.model for arm in arms)
    folders = {name: model_folder(models[name]) for name in used}
    return {
        "schema": 2,
        "job": "study",
        "settings": settings.spec(),
        "models": {
            name: {"name": title_of(models[name]), "fingerprint": weights_fingerprint(weight_files(folder, name))}
            for name, folder in folders.items()
        },
        "data": {task: {"rows": len(rows), "fingerprint": data_fingerprint(rows)} for task, rows in records.items()},
        "arms": [arm.spec() for arm in arms],
        "versions": versions(),
    }
