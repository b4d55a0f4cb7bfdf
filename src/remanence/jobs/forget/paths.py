"""The path of one method from no change to too much: memorization and loss of every state along the way."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.jobs.forget.methods import Plan
from remanence.jobs.forget.snapshot import SideSnapshot, excess, loss_increase
from remanence.jobs.forget.tables import POINTS
from remanence.jobs.forget.workbench import Workbench
from remanence.stats.membership import auc_interval, roc_auc
from remanence.training.from_base import finetune_from_base
from remanence.training.guard import Guard
from remanence.training.prepare import prepare

RETRAINED = "retrained"
BEFORE = "before"


def place(slug: str) -> str:
    """Name of a path's table in the run."""
    return f"paths/{slug}"


def run_path(bench: Workbench, plan: Plan) -> None:
    """Run one path unless it is there; write its states and the weights of the best one, or why it cannot be run."""
    if bench.run.has(f"{place(plan.slug)}.parquet") or refused(bench.run, plan):
        return
    began = time.perf_counter()
    bench.reset()
    runners = {"after": _unlearn, "before": _retrain_differently, "decoding": _guard_decoding}
    try:
        lines = runners[plan.kind](bench, plan)
    except RemanenceError as why:
        bench.run.write_json(f"{place(plan.slug)}-refused.json", str(why))
        return
    finally:
        bench.reset()
    bench.run.write_json(f"{place(plan.slug)}-seconds.json", round(time.perf_counter() - began, 2))
    bench.run.write_table(place(plan.slug), pa.Table.from_pylist(lines, schema=POINTS))


def refused(run: Run, plan: Plan) -> str | None:
    """Why a path could not be run; None where it was."""
    name = f"{place(plan.slug)}-refused.json"
    return str(run.read_json(name)) if run.has(name) else None


def reference(bench: Workbench) -> None:
    """The given model: `paths/before`."""
    if not bench.run.has(f"{place(BEFORE)}.parquet"):
        bench.reset()
        line = point(bench, bench.before["forget"], bench.before["guide"], method=BEFORE)
        bench.run.write_table(place(BEFORE), pa.Table.from_pylist([line], schema=POINTS))


def retrain(bench: Workbench) -> None:
    """Fine-tune the base model with the same recipe on all rows but those to forget."""
    if bench.run.has(f"{place(RETRAINED)}.parquet"):
        return
    assert bench.base is not None and bench.recipe is not None
    began = time.perf_counter()
    made: Any = finetune_from_base(bench.base, list(bench.sides.rest), RETRAINED, bench.recipe)
    line = _settled(bench, RETRAINED, made.module, RETRAINED, "the recipe without the forget rows", "")
    bench.run.write_json(f"{place(RETRAINED)}-seconds.json", round(time.perf_counter() - began, 2))
    bench.run.write_table(place(RETRAINED), pa.Table.from_pylist([line], schema=POINTS))


def _unlearn(bench: Workbench, plan: Plan) -> list[dict[str, Any]]:
    """Unlearning after training, under the guard."""
    settings = bench.settings
    training = {name: getattr(settings, name) for name in ("steps", "batch_size", "check_every", "seed")}
    peers: dict[str, Any] = {}
    if bench.recipe is not None and "epochs" in plan.fields:  # a peer is trained as the model was
        training["learning_rate"], peers["epochs"] = bench.recipe.learning_rate, bench.recipe.epochs
    method = plan.build(
        training,
        max_loss_increase=settings.max_loss_increase,
        base=bench.base_folder,
        models=tuple(bench.models),
        **peers,
    )
    seen: list[tuple[SideSnapshot, SideSnapshot]] = []

    def measure(model: Any) -> tuple[float, float]:
        target = bench.target if model is bench.target.module else bench.other(model)
        snapshots = bench.snapshot("forget", target), bench.snapshot("guide", target)
        seen.append(snapshots)
        return snapshots[0].either.rate, snapshots[1].loss

    floor = bench.before["guide"].either
    guard = Guard(measure, settings.max_loss_increase, goal=floor.rate if bench.sides.heldout_is == "heldout" else 0.0)
    stop = ContinueAfterStop(guard, settings.extra_checks)
    rows = bench.rows("forget"), bench.rows("retain")
    method.optimize(bench.target.module, bench.target.tokenizer, *rows, stop, **_instead(bench, plan))
    if guard.best is None:
        raise RemanenceError(f"{plan.method} did not call its stop callback: this is an error of the method.")
    guard.restore(bench.target.module)
    bench.keep(plan.slug)
    best = guard.trail.index(guard.best)
    lines = [
        point(
            bench, *snapshots, method=plan.method, setting=plan.setting, unit=str(getattr(method, "unit", "steps")),
            strength=measured.strength, chosen=at == best,
        )
        for at, (snapshots, measured) in enumerate(zip(seen, guard.trail, strict=True))
    ]  # fmt: skip
    lines[-1]["why"] = stop.why or guard.why
    return lines


def _instead(bench: Workbench, plan: Plan) -> dict[str, Any]:
    """For constrained fine-tuning, the user's replacements of rows: their `meta["replacement"]`."""
    if plan.method != "constrained":
        return {}
    from remanence.mitigate.weights.constrained import modified

    return {"instead": prepare(modified(list(bench.sides.forget)), bench.target.renderer).rows}


class ContinueAfterStop:
    """A `StopCallback` that continues for some snapshots after the guard would have stopped, to show the trade-off."""

    def __init__(self, guard: Guard, snapshots: int) -> None:
        self.guard, self.left = guard, snapshots
        self.why: str | None = None

    def __call__(self, strength: float, model: Any) -> bool:
        stop = self.guard(strength, model)
        if self.why is None and not stop:
            return False
        self.why = self.why or self.guard.why
        self.left -= 1
        return self.left < 0


def _retrain_differently(bench: Workbench, plan: Plan) -> list[dict[str, Any]]:
    """A method that fine-tunes the base model once more, on all rows."""
    assert bench.base is not None and bench.recipe is not None
    own = ("learning_rate", "batch_size", "accumulate") if plan.method == "dp_sgd" else ()  # noise needs larger values
    training = {name: value for name, value in asdict(bench.recipe.training).items() if name not in own}
    rows = [*bench.train, *bench.sides.guide] if bench.sides.heldout_is == "heldout" else bench.train
    method = plan.build(training, noise_seed=bench.settings.seed)
    made: Any = method(bench.base, list(rows))
    told = f"trained anew. {method.promise(bench.base, list(rows))}" if hasattr(method, "promise") else "trained anew"
    return [_settled(bench, plan.slug, made.module, plan.method, plan.setting, told)]


def _settled(bench: Workbench, slug: str, module: Any, method: str, setting: str, why: str) -> dict[str, Any]:
    """The one state of a model that was fine-tuned again."""
    bench.keep(slug, module)
    bench.take(slug)
    line = point(
        bench, bench.snapshot("forget"), bench.snapshot("guide"), method=method, setting=setting, unit="training",
        strength=1.0, chosen=True,
    )  # fmt: skip
    bench.reset()
    return line | {"why": why}


def _guard_decoding(bench: Workbench, plan: Plan) -> list[dict[str, Any]]:
    """A filter while decoding: the weights, and so everything but generated text, stay unchanged."""
    line = point(
        bench, bench.before["forget"], bench.before["guide"], method=plan.method, setting=plan.setting, unit="guard",
        strength=1.0, chosen=True,
    )  # fmt: skip
    return [line | {"why": "guards the decoding and leaves the weights alone: look at what is said (generated)"}]


def point(
    bench: Workbench,
    forget: SideSnapshot,
    guide: SideSnapshot,
    *,
    method: str,
    setting: str = "",
    unit: str = "",
    strength: float = 0.0,
    chosen: bool = True,
) -> dict[str, Any]:
    """A line of `points.parquet`, from looks at the forget rows and at the held-out rows that guide."""
    first = bench.before
    over, over_before = excess(forget, guide), excess(first["forget"], first["guide"])
    rise = loss_increase(first["guide"], guide, bench.settings.seed)
    rate, floor = forget.rate, guide.rate
    removed = None
    if over_before.value > 0 and over.value == over.value:
        removed = 1 - over.value / over_before.value
    members, others = _scores(forget), _scores(guide)
    auc = auc_low = auc_high = None
    if members.size and others.size:
        auc = roc_auc(members, others)
        auc_low, auc_high = auc_interval(members, others)
    return {
        "method": method, "setting": setting, "strength": float(strength), "unit": unit,
        "forget_hits": rate.hits, "forget_n": rate.n, "forget_rate": _finite(rate.rate), "forget_low": rate.low,
        "forget_high": rate.high, "either_hits": forget.either.hits, "floor_hits": floor.hits, "floor_n": floor.n,
        "excess": _finite(over.value), "excess_low": over.interval.low, "excess_high": over.interval.high,
        "removed": removed, "loss": _finite(guide.loss), "loss_rise": _finite(rise.value),
        "loss_rise_low": _finite(rise.interval.low), "loss_rise_high": _finite(rise.interval.high),
        "forget_loss": _finite(forget.loss), "auc": auc, "auc_low": auc_low, "auc_high": auc_high,
        "untouched_hits": None, "untouched_n": None, "retain_loss": None, "chosen": chosen,
        "within": bool(rise.value <= bench.settings.max_loss_increase), "on_front": False, "why": "",
    }  # fmt: skip


def _scores(seen: SideSnapshot) -> Any:
    values = seen.per_row
    return values[values == values]


def _finite(value: float) -> float | None:
    """The value, or None if it is not finite: tables contain no NaN and no infinity."""
    return value if abs(value) < float("inf") else None
