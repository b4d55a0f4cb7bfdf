"""`remanence.run`: any system of the catalogue by its name."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from remanence.core.catalogue import Entry, find
from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.read import records_from
from remanence.core.run import Run, fingerprint, refuse_taken
from remanence.core.target import Target
from remanence.core.verbs import Benchmark, Experiment, Memory, Mitigation, Theory
from remanence.engine.describe import data_name
from remanence.engine.endpoints import open_endpoints
from remanence.engine.executors import OpenTargets, open_executor, openable_by
from remanence.engine.opening import TargetRecipe, beside_workers, by_role, open_model, open_targets
from remanence.jobs.forget.rows import named_rows
from remanence.jobs.systems.build import build
from remanence.jobs.systems.changing import Given, run_change
from remanence.jobs.systems.data import Data
from remanence.jobs.systems.measuring import Ran, run_measure, run_spec
from remanence.jobs.systems.own_items import run_benchmark, run_experiment, run_theory
from remanence.jobs.systems.settings import RunSettings
from remanence.models.endpoint.settings import EndpointSettings, is_address
from remanence.report.html import write_report

SEEDS = 3
"""Seeds of an experiment, from the run's seed on."""


def run(
    name: str,
    model: str | Path | Target | None = None,
    data: Any = None,
    *,
    heldout: Any = None,
    base: str | Path | Target | None = None,
    forget: Any = None,
    out: str | Path = "remanence-run",
    settings: RunSettings | Mapping[str, Any] | None = None,
    resume: bool = False,
    reveal: bool = False,
    trust_remote_code: bool = False,
    columns: dict[str, str] | None = None,
    executor: str | Executor = "serial",
    workers: int | None = None,
    ray_address: str | None = None,
    endpoint: EndpointSettings | None = None,
    show_progress: bool = True,
    **values: Any,
) -> Ran:
    """Run a system by its name on a model and its training rows, and write a run folder with `report.html`.

    `model`, `base`, `data`, `heldout`, `columns`, `executor`, `endpoint`: as for `remanence.audit`. `forget`: for a
    mitigation that unlearns, the rows to forget: ids, or rows as a path or a list. `values`: the
    system's fields (`remanence show NAME` lists them), given as values or as text; a field of a field has a dot,
    `**{"attack.tokens": 16}`. `settings`: the fields of `RunSettings`; one that the system does not have may stand
    among `values` too. Raises `RemanenceError` on bad input.
    """
    entry = find(name)
    values, chosen = _split(entry, values, settings)
    system = build(entry, values)
    refuse_taken(out, resume=resume)
    if isinstance(system, Theory):
        folder = Run.begin(out, run_spec(entry, system, None, {}, chosen), resume=resume)
        return _reported(run_theory(folder, entry, system, chosen.seed), reveal)
    if isinstance(system, Experiment):
        with open_executor(executor, workers, ray_address, "cpu") as hands:
            folder = Run.begin(out, run_spec(entry, system, None, {}, chosen), resume=resume)
            seeds = range(chosen.seed, chosen.seed + SEEDS)
            return _reported(run_experiment(folder, entry, system, seeds, hands), reveal)
    if model is None or (data is None and not isinstance(system, Benchmark)):
        wanted = "a model: add --model" if isinstance(system, Benchmark) else "a model and rows: add --model and --data"
        raise RemanenceError(f"{entry.cls} is run on {wanted}.")
    named = {f"{key}_column": value for key, value in (columns or {}).items()}
    train = [] if data is None else list(records_from(data, group="train", **named))
    held = None if heldout is None else list(records_from(heldout, group="heldout", **named))
    names = {"train": data_name(data), "heldout": data_name(heldout)}
    form = train[0].form if train else "text"
    how = (executor, workers, ray_address, endpoint, trust_remote_code)
    with opened(model, base, chosen, Path(out), form, *how) as (targets, hands, open_again):
        if isinstance(system, Benchmark):
            folder = Run.begin(out, run_spec(entry, system, None, targets, chosen), resume=resume)
            return _reported(run_benchmark(folder, entry, system, targets, chosen.seed), reveal)
        rows = Data.of(train, held, names)
        if isinstance(system, Mitigation | Memory):
            wanted = {} if forget is None else named_rows(forget, train, named)
            given = Given(train, held, wanted, rows, names)
            named_ids = fingerprint(*sorted(record_id.encode() for record_id in wanted))
            rows.spec["forget"] = {"rows": len(wanted), "fingerprint": named_ids} if wanted else None
            folder = Run.begin(out, run_spec(entry, system, rows.spec, targets, chosen), resume=resume)
            result = run_change(
                folder, entry, system, targets, given, chosen,
                trust_remote_code=trust_remote_code, reveal=reveal, show=show_progress,
            )  # fmt: skip
        else:
            folder = Run.begin(out, run_spec(entry, system, rows.spec, targets, chosen), resume=resume)
            result = run_measure(folder, entry, system, targets, rows, chosen, hands, open_again, show=show_progress)
    return _reported(result, reveal)


def _reported(result: Ran, reveal: bool) -> Ran:
    _ = write_report(result.run, reveal=reveal)
    return result


def _split(
    entry: Entry, values: dict[str, Any], settings: RunSettings | Mapping[str, Any] | None
) -> tuple[dict[str, Any], RunSettings]:
    """The values of the system's fields, and the settings of the run."""
    own = {parameter.name.split(".")[0] for parameter in entry.parameters}
    known = {field.name for field in fields(RunSettings)}
    if isinstance(settings, RunSettings):
        return values, settings
    given = dict(settings or {})
    moved = {name: value for name, value in values.items() if name in known and name not in own}
    if unknown := sorted({*given} - known):
        raise RemanenceError(f"A run has no setting {unknown[0]!r}: it has {', '.join(sorted(known))}.")
    kept = {name: value for name, value in values.items() if name not in moved}
    return kept, RunSettings(**{**given, **moved})


@contextlib.contextmanager
def opened(
    model: str | Path | Target,
    base: str | Path | Target | None,
    settings: RunSettings,
    out: Path,
    form: str,
    executor: str | Executor,
    workers: int | None,
    ray_address: str | None,
    endpoint: EndpointSettings | None,
    trust_remote_code: bool,
) -> Generator[tuple[dict[str, Target], Executor, OpenTargets]]:
    """The targets by role, the executor, and how its workers open the targets."""
    with open_executor(executor, workers, ray_address, settings.device) as hands:
        here = isinstance(hands, Serial)
        if is_address(model) or is_address(base):
            if not here:
                raise RemanenceError("A server is asked by one process, many requests at once: use --executor serial.")
            load = partial(open_model, settings=settings, trust_remote_code=trust_remote_code)
            tuned, below = open_endpoints(model, base, settings, endpoint or EndpointSettings(), out, form, load)
        elif endpoint is not None:
            raise RemanenceError("Settings for asking a server were given, but neither model is api:MODEL@URL.")
        else:
            own = settings if here else beside_workers(settings, scores_here=False)
            tuned, below = open_targets(model, base, own, trust_remote_code)
        targets = by_role(tuned, below)
        recipe = None if here else TargetRecipe.of(model, base, settings, trust_remote_code, targets)
        yield targets, hands, openable_by(hands, targets, recipe)
