"""The study from end to end: draw rows, run bases and arms (in several processes if asked), sum up, say what remains.

Every unit writes its tables and is skipped when they are there, so a killed study goes on where it stopped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa

from remanence.core.errors import RemanenceError
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
from remanence.models.weights import model_folder, title_of, weight_files, weights_fingerprint


@dataclass(frozen=True)
class Studied:
    """What a study found."""

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
    keep_models: bool = False,
    show: bool = True,
) -> Studied:
    """Run every arm and write `effects.parquet`, `verdict.json`. `models` [name -> folder or Hub name]."""
    arms = list(dict.fromkeys(arms))
    _check(tasks, models, arms)
    records = {task: task_records(task, tasks[task]) for task in dict.fromkeys(arm.task for arm in arms)}
    run = Run.begin(out, _spec(records, models, arms, settings), resume=resume)
    _write_rows(run, records, arms, settings, show=show)
    bases = list({arm.base_slug: arm for arm in arms}.values())
    jobs = [(run_base_unit, arm) for arm in bases]
    _run_all(run, "base models", jobs, models, settings, workers, keep_models, show=show)
    jobs = [(run_arm_unit, arm) for arm in arms]
    _run_all(run, "arms", jobs, models, settings, workers, keep_models, show=show)
    return conclude(run, arms, settings)


def conclude(run: Run, arms: Sequence[Arm], settings: StudySettings) -> Studied:
    """Effects and verdict, from what is written."""
    found: list[Summed] = []
    for group in by_recipe(arms).values():
        found += summed(read_recipe(run, group), settings)
    lines = [line for one in found for line in effect_lines(one)]
    run.write_table("effects", pa.Table.from_pylist(lines, schema=EFFECTS))
    said = verdict(run, arms, found, settings)
    run.write_json("verdict.json", said)
    return Studied(run, said)


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


def run_base_unit(run: Run, arm: Arm, model: str, settings: StudySettings, keep_models: bool) -> None:
    """A base unit, with torch imported by the process that runs it."""
    from remanence.jobs.study.unit import run_base

    run_base(run, arm, model, settings)


def run_arm_unit(run: Run, arm: Arm, model: str, settings: StudySettings, keep_models: bool) -> None:
    """An arm, likewise."""
    from remanence.jobs.study.unit import run_arm

    run_arm(run, arm, model, settings, keep_models=keep_models)


Unit = Callable[[Run, Arm, str, StudySettings, bool], None]


def _run_all(
    run: Run,
    label: str,
    jobs: Sequence[tuple[Unit, Arm]],
    models: Mapping[str, str],
    settings: StudySettings,
    workers: int,
    keep_models: bool,
    *,
    show: bool,
) -> None:
    """All units, in this process or in several; one thread each, so that the figures do not depend on how many."""
    calls = [(unit, run.folder, arm, models[arm.model], settings, keep_models) for unit, arm in jobs]
    with track(label, len(calls), show=show) as advance:
        if workers <= 1:
            for call in calls:
                _alone(*call)
                advance(1)
            return
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
            waiting = [pool.submit(_alone, *call) for call in calls]
            try:
                for done in as_completed(waiting):
                    done.result()
                    advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _end_with_parent() -> None:
    """A worker ends when the study is killed: otherwise it would go on writing beside the one that resumes."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _alone(unit: Unit, folder: Path, arm: Arm, model: str, settings: StudySettings, keep_models: bool) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        unit(Run(folder), arm, model, settings, keep_models)
    finally:
        torch.set_num_threads(before)


def _write_rows(
    run: Run, records: Mapping[str, Sequence[Record]], arms: Sequence[Arm], settings: StudySettings, *, show: bool
) -> None:
    """`data/...`: the split of every task and seed; drawn before anything is trained."""
    wanted = {arm.data_slug: (arm.task, arm.seed) for arm in arms}
    with track("drawing rows", len(wanted), show=show) as advance:
        for name, (task, seed) in wanted.items():
            if not run.has(f"data/{name}.json"):
                write_split(run, name, split_rows(task, records[task], settings, seed))
            advance(1)


def _check(tasks: Mapping[str, Rows], models: Mapping[str, str], arms: Sequence[Arm]) -> None:
    if not arms:
        raise RemanenceError("The study has no arm: name at least one task, one model and one seed.")
    for arm in arms:
        for what, name, known in (("task", arm.task, tasks), ("model", arm.model, models)):
            if name not in known:
                raise RemanenceError(f"There is no {what} {name!r}: choose from {', '.join(known)}.")
    if len({arm.slug for arm in arms}) < len(arms):
        raise RemanenceError("Two arms have the same name but for signs that no folder name may hold: rename a task.")


def _spec(
    records: Mapping[str, Sequence[Record]], models: Mapping[str, str], arms: Sequence[Arm], settings: StudySettings
) -> dict[str, Any]:
    used = dict.fromkeys(arm.model for arm in arms)
    folders = {name: model_folder(models[name]) for name in used}
    return {
        "schema": 1,
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
