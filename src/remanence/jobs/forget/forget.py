"""Forgetting from end to end: run the path of every method, evaluate the best states, recommend one of them.

Every path and every evaluation is written when it is done and skipped when it exists, so a killed run continues where
it stopped. The given model is not changed: the resulting model is in the run's folder `model`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from remanence.core.errors import RemanenceError
from remanence.core.progress import track
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.engine.describe import versions
from remanence.jobs.forget.conclude import conclude
from remanence.jobs.forget.evaluate import Evaluation, evaluate
from remanence.jobs.forget.generated import Detector
from remanence.jobs.forget.methods import Plan, planned
from remanence.jobs.forget.paths import BEFORE, RETRAINED, place, reference, refused, retrain, run_path
from remanence.jobs.forget.rows import Sides, forget_row_lines
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.forget.tables import FORGET_ROWS
from remanence.jobs.forget.workbench import Workbench
from remanence.models.huggingface import HuggingFace
from remanence.training.callbacks import save_model
from remanence.training.settings import FinetuneSettings

MODEL = "model"
"""Folder of the resulting model, in the run."""


@dataclass(frozen=True)
class Forgotten:
    """The result of forgetting."""

    run: Run
    verdict: dict[str, Any]

    @property
    def model(self) -> Path | None:
        """Folder of the resulting model, in the form of the given one; None where no state was allowed."""
        folder = self.run.folder / MODEL
        return folder if folder.is_dir() else None


def opened(target: Any) -> HuggingFace:
    """The target, if its weights can be changed; raises `RemanenceError` otherwise."""
    if not isinstance(target, HuggingFace):
        raise RemanenceError(f"{target.name} has no weights that can be changed: give a model folder.")
    return target


def run_forget(
    target: HuggingFace,
    base: HuggingFace | None,
    train: Sequence[Record],
    sides: Sides,
    out: Path | str,
    settings: ForgetSettings,
    *,
    recipe: FinetuneSettings | None = None,
    base_folder: str | None = None,
    models: Sequence[str] = (),
    retrained: bool = False,
    own: Mapping[str, Evaluation] | None = None,
    names: Mapping[str, Any] | None = None,
    resume: bool = False,
    show: bool = True,
) -> Forgotten:
    """Run every path that `settings.methods` asks for and write `verdict.json`, the tables and the folder `model`.

    `retrained`: also fine-tune the base model without the rows, for comparison. `own`: the caller's own measures of
    utility, by name. Raises `RemanenceError` when an input is missing that a named method needs.
    """
    there = {
        "base": base is not None,
        "recipe": recipe is not None,
        "models": bool(models),
        "adapter": hasattr(target.module, "peft_config"),
    }
    given = {name for name, is_there in there.items() if is_there}
    plans, notes = planned(settings, given)
    if not plans:
        raise RemanenceError("No method is left to try: give one with --method.")
    if retrained and not {"base", "recipe"} <= given:
        raise RemanenceError(
            "Retraining without the rows needs the base model (--base) and how the model was trained (--recipe FILE, "
            "such as the training.json of remanence finetune)."
        )
    run = Run.begin(
        out, run_spec(target, base, train, sides, settings, recipe, plans, retrained, names or {}), resume=resume
    )
    bench = Workbench(run, target, base, sides, settings, recipe, train, base_folder, models)
    run.write_table("forget_rows", pa.Table.from_pylist(forget_row_lines(sides), schema=FORGET_ROWS))
    reference(bench)
    if retrained:
        with track("Retraining without the rows", 1, show=show) as advance:
            retrain(bench)
            advance(1)
    finished: list[Plan] = []
    with track("Running unlearning methods", len(plans), show=show) as advance:
        for plan in plans:
            if not _is_superfluous(run, plan, finished, settings):
                run_path(bench, plan)
                why = refused(run, plan)
                if why is None:
                    finished.append(plan)
                else:
                    notes.append(f"{plan.method} was not run: {why}")
            advance(1)
    if not finished:
        raise RemanenceError(notes[-1])
    best = _best(run, finished, settings)
    _evaluate(bench, best, own or {}, retrained=retrained, show=show)
    verdict = conclude(bench, finished, best, retrained=retrained, notes=[*sides.notes, *notes])
    _hand_back(bench, verdict)
    return Forgotten(run, verdict)


def _is_superfluous(run: Run, plan: Plan, finished: Sequence[Plan], settings: ForgetSettings) -> bool:
    """Whether a weaker setting of the method has reached the goal already."""
    if settings.learning_rates:  # all learning rates that the user gives are tried
        return False
    milder = [_kept(run, one) for one in finished if one.method == plan.method and one.family == plan.family]
    return any(line["within"] and (line["removed"] or 0.0) >= settings.goal for line in milder)


def _kept(run: Run, plan: Plan) -> dict[str, Any]:
    """The best state of a path."""
    return next(line for line in run.lines(place(plan.slug)) if line["chosen"])


def _best(run: Run, plans: Sequence[Plan], settings: ForgetSettings) -> dict[str, Plan]:
    """Of every method the setting with the best state: allowed loss, fewest rows extracted, lowest loss.

    Of an `auto` sweep only the finalists.
    """
    best: dict[str, tuple[tuple[Any, ...], Plan]] = {}
    for plan in plans:
        line = _kept(run, plan)
        order = (not line["within"], line["either_hits"], line["loss"])
        if plan.method not in best or order < best[plan.method][0]:
            best[plan.method] = (order, plan)
    chosen = sorted(best, key=lambda method: (best[method][0], method))
    if settings.methods == ("auto",):
        chosen = chosen[: settings.finalists]
    return {method: best[method][1] for method in best if method in chosen}


def _evaluate(
    bench: Workbench, best: Mapping[str, Plan], own: Mapping[str, Evaluation], *, retrained: bool, show: bool
) -> None:
    names = [BEFORE, *([RETRAINED] if retrained else []), *best]
    waiting = [name for name in names if not bench.run.has(f"finals/{name}-scores.parquet")]
    if not waiting:
        return
    detector = Detector(
        [*bench.sides.forget, *_once(bench.sides.rest)],
        [*bench.sides.guide, *bench.sides.judge] if bench.sides.heldout_is == "heldout" else [],
        seed=bench.settings.seed,
    )
    with track("Evaluating the best states", len(waiting), show=show) as advance:
        for name in waiting:
            bench.reset()
            evaluate(bench, name, load_state(bench, name, best), detector, own)
            advance(1)
    bench.reset()


def load_state(bench: Workbench, name: str, best: Mapping[str, Plan]) -> HuggingFace:
    """The target with this model: unchanged, retrained, or a method's best state."""
    if name == BEFORE:
        return bench.target
    if name in best and best[name].kind == "decoding":
        guarded: Any = best[name].build(seed=bench.settings.seed)(bench.target, list(bench.sides.forget))
        return guarded
    bench.take(RETRAINED if name == RETRAINED else best[name].slug)
    return bench.target


def _hand_back(bench: Workbench, verdict: Mapping[str, Any]) -> None:
    """Write the recommended model in the form of the given one, or merged."""
    slug = verdict["recommended"].get("slug") if verdict.get("recommended") else None
    folder = bench.run.folder / MODEL
    if slug is None or folder.is_dir():
        return
    bench.take(slug)
    module: Any = bench.target.module
    if bench.settings.merge and hasattr(module, "merge_and_unload"):
        import copy

        module = copy.deepcopy(module).merge_and_unload()
    part = folder.with_name(f"{MODEL}.part")
    shutil.rmtree(part, ignore_errors=True)
    save_model(module, bench.target.tokenizer, part)
    part.rename(folder)
    bench.reset()


def _once(records: Sequence[Record]) -> list[Record]:
    return list({(r.plain): r for r in reversed(records)}.values())[::-1]


def run_spec(
    target: HuggingFace,
    base: HuggingFace | None,
    train: Sequence[Record],
    sides: Sides,
    settings: ForgetSettings,
    recipe: FinetuneSettings | None,
    plans: Sequence[Plan],
    retrained: bool,
    names: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of `run.json`."""

    def rows(group: Sequence[Record]) -> dict[str, Any]:
        return {"rows": len(group), "fingerprint": data_fingerprint(group)}

    return {
        "schema": 2,
        "job": "forget",
        "settings": settings.spec(),
        "seed": settings.seed,
        "paths": [{"method": plan.method, "setting": plan.setting} for plan in plans],
        "retrained": retrained,
        "recipe": None if recipe is None else recipe.spec(),
        "data": {
            "train": {"name": names.get("train", "train"), **rows(train)},
            **{side: rows(getattr(sides, side)) for side in ("forget", "retain", "untouched", "guide", "judge")},
            "heldout_is": sides.heldout_is,
        },
        "models": {
            role: None if one is None else {"name": one.name, "fingerprint": one.fingerprint, "family": one.family}
            for role, one in (("tuned", target), ("base", base))
        },
        "versions": versions(),
    }
