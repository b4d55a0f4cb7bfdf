"""The Python twins of the commands: `remanence.audit`, `match`, `finetune`, `forget`, `study`, `score`, `compare`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.keywords import current_names, fields_of, takes_settings
from remanence.core.read import Columns, FileRecords, records_from
from remanence.core.run import Run, refuse_taken
from remanence.core.target import Target
from remanence.engine.columns import check_columns
from remanence.engine.describe import data_name
from remanence.engine.endpoints import open_endpoints
from remanence.engine.executors import open_executor
from remanence.engine.gates import read_rule
from remanence.engine.opening import TargetRecipe, beside_workers, by_role, open_model, open_targets
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.large import rows_to_stream, streams
from remanence.jobs.audit.outcomes import outcomes
from remanence.jobs.audit.rescore import rescore
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream import run_stream
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.compare import Comparison, compare_runs
from remanence.jobs.finetune import finetune_job as finetune
from remanence.jobs.forget.forget import Forgotten, opened, run_forget
from remanence.jobs.forget.methods import planned
from remanence.jobs.forget.rows import leaking, named_rows, partition_rows
from remanence.jobs.forget.settings import FROM_AUDIT, ForgetSettings
from remanence.jobs.match.match import Matched, run_match
from remanence.jobs.match.settings import MatchSettings
from remanence.jobs.study.arm import Arm, grid
from remanence.jobs.study.data import TaskFile, casebook_models, family, read_tasks, trainable_on
from remanence.jobs.study.settings import GridSettings, StudySettings
from remanence.jobs.study.study import Studied, rescore_study, run_study
from remanence.models.endpoint.settings import EndpointSettings, is_address
from remanence.report.html import write_report
from remanence.training.record import read_recipe

__all__ = ["audit", "compare", "finetune", "forget", "match", "score", "study"]


@takes_settings(AuditSettings, StreamSettings)
def audit(
    model: str | Path | Target,
    data: Any,
    *,
    heldout: Any = None,
    base: str | Path | Target | None = None,
    out: str | Path = "remanence-run",
    fail_if: str | None = None,
    resume: bool = False,
    reveal: bool = False,
    trust_remote_code: bool = False,
    columns: dict[str, str] | None = None,
    executor: str | Executor = "serial",
    workers: int | None = None,
    ray_address: str | None = None,
    endpoint: EndpointSettings | None = None,
    stream: bool | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> Audit:
    """Audit a fine-tuned model against its own training rows, and write a run folder with `report.html`.

    `model` and `base`: folder, Hub name, `api:MODEL@URL` (queried as `endpoint` says) or target. `data` and `heldout`:
    a path (JSONL, CSV, Parquet, gzipped or not), a list of dicts or `Record`s, or a `datasets.Dataset`. `columns`:
    names of the columns that are not called text, prompt, completion, messages, id. `executor`: serial, ray (with
    `workers` on the cluster at `ray_address`), or an `Executor`. `stream`: whether to process rows in blocks and keep
    one summary line per row (None: for files of more than 100,000 rows). `fail_if`: a rule like "excess>0.01"; the
    result says whether it holds. Raises `RemanenceError` on bad input.
    """
    chosen = AuditSettings(**fields_of(AuditSettings, settings))
    streaming = StreamSettings(**fields_of(StreamSettings, settings))
    if fail_if is not None:
        _ = read_rule(fail_if)  # before a model is loaded
    refuse_taken(out, resume=resume)
    named = {f"{key}_column": value for key, value in (columns or {}).items()}
    job: Callable[..., Audit] = run_audit
    if streams(data, stream, server=is_address(model) or is_address(base), show=show_progress):
        train, job = rows_to_stream(data, Columns(**(columns or {}))), partial(run_stream, stream=streaming)
    else:
        train = records_from(data, group="train", **named)
    held = None if heldout is None else records_from(heldout, group="heldout", **named)
    if job is run_audit:
        check_columns(train, held, chosen.by)  # before a model is loaded
    names = {"train": data_name(data), "heldout": data_name(heldout)}
    with open_executor(executor, workers, ray_address, chosen.device) as hands:
        here = isinstance(hands, Serial)
        if is_address(model) or is_address(base):
            if not here:
                raise RemanenceError("A server is asked by one process, many requests at once: use --executor serial.")
            load = partial(open_model, settings=chosen, trust_remote_code=trust_remote_code)
            form = train[0].form if train else "text"
            tuned, below = open_endpoints(model, base, chosen, endpoint or EndpointSettings(), Path(out), form, load)
        elif endpoint is not None:
            raise RemanenceError("Settings for asking a server were given, but neither model is api:MODEL@URL.")
        else:
            opening = chosen if here else beside_workers(chosen, scores_here=chosen.background == "base")
            tuned, below = open_targets(model, base, opening, trust_remote_code)
        opens = None if here else TargetRecipe.of(model, base, chosen, trust_remote_code, by_role(tuned, below))
        result = job(
            tuned, train, held, below, out, chosen, names=names, fail_if=fail_if, resume=resume, show=show_progress,
            executor=hands, opens=opens,
        )  # fmt: skip
    _ = write_report(result.run, reveal=reveal)
    return result


@takes_settings(MatchSettings)
def match(
    generated: Any,
    data: Any,
    *,
    heldout: Any = None,
    base: str | Path | Target | None = None,
    out: str | Path = "remanence-match",
    index: str | Path | None = None,
    resume: bool = False,
    reveal: bool = False,
    columns: dict[str, str] | None = None,
    executor: str | Executor = "serial",
    workers: int | None = None,
    ray_address: str | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> Matched:
    """Whose words are these texts made of? Generated texts against training rows, without a model.

    `generated`: a path, a list of dicts or `Record`s, or a `datasets.Dataset`, in one form: `text`, or `prompt` +
    `completion` (only the completion is judged, and copying from the prompt is not memory), or `messages`. `data` and
    `heldout` as for `audit`; training rows stream. `index`: folder of the index, made once and used again. `base`: the
    model before fine-tuning, for `background="base"`. `executor`: serial, ray (with so many `workers` of the cluster
    at `ray_address`, which must see the index folder), or one of your own. Raises `RemanenceError` on bad input.
    """
    chosen = MatchSettings(**settings)
    refuse_taken(out, resume=resume)
    named = {f"{key}_column": value for key, value in (columns or {}).items()}
    texts = records_from(generated, **cast("Any", named))
    by_path = isinstance(data, str | Path)
    train = FileRecords(Path(data), Columns(**(columns or {}))) if by_path else records_from(data, **cast("Any", named))
    held = None if heldout is None else records_from(heldout, group="heldout", **named)
    below = open_targets(base, None, AuditSettings())[0] if base is not None else None
    names = {"generated": data_name(generated), "train": data_name(data), "heldout": data_name(heldout)}
    with open_executor(executor, workers, ray_address, "cpu") as opened_executor:
        result = run_match(
            texts, train, held, out, chosen, base=below, index_folder=index, names=names, resume=resume,
            show=show_progress, executor=opened_executor,
        )  # fmt: skip
    _ = write_report(result.run, reveal=reveal)
    return result


@takes_settings(ForgetSettings)
def forget(
    model: str | Path | Target,
    data: Any,
    *,
    run: str | Path | None = None,
    forget: Any = None,
    retain: Any = None,
    heldout: Any = None,
    base: str | Path | Target | None = None,
    recipe: Any = None,
    models: Sequence[str | Path] = (),
    retrain: bool = False,
    evaluate: Mapping[str, Callable[[Any], float]] | None = None,
    out: str | Path = "remanence-forget",
    resume: bool = False,
    reveal: bool = False,
    trust_remote_code: bool = False,
    columns: dict[str, str] | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> Forgotten:
    """Make a model forget training rows, prove it, and show the price; the model that came in stays as it is.

    What to forget: the rows that the audit extracted `run` (its settings are taken over), or `forget`: ids, or rows
    of `data` as a path or a list. `data`: the training rows. `retain`: rows to keep, in place of all others. `base`:
    the model before fine-tuning; `recipe`: how it was trained (a `training.json`, a dict or `FinetuneSettings`;
    default, the one in the model's folder); `retrain`: train once more without the rows, as the gold standard.
    `models`: peers to fuse with. `evaluate`: measures of use of your own, name -> function of the target.
    Raises `RemanenceError` on bad input.
    """
    refuse_taken(out, resume=resume)
    if (run is None) == (forget is None):
        raise RemanenceError("Say what to forget: --run, the audit that found the leaks, or --forget, the rows.")
    wanted: dict[str, str] | None = None
    if run is not None:
        audited = Run.open(run)
        wanted = leaking(audited, outcomes(audited))
        settings = {k: v for k, v in audited.spec["settings"].items() if k in FROM_AUDIT} | settings
        settings["prefixes"] = tuple(settings["prefixes"])
    if isinstance(settings.get("methods"), str):
        settings["methods"] = (settings["methods"],)
    chosen = ForgetSettings(**current_names([ForgetSettings], settings, notice=True))
    _ = planned(chosen, {"base", "recipe", "models"})  # an unknown method is refused before a model is loaded
    named = {f"{key}_column": value for key, value in (columns or {}).items()}
    train = records_from(data, group="train", **named)
    if wanted is None:
        wanted = named_rows(forget, train, named)
    keep = None if retain is None else records_from(retain, group="retain", **named)
    held = None if heldout is None else records_from(heldout, group="heldout", **named)
    sides = partition_rows(train, wanted, keep, held, chosen)
    tuned, below = open_targets(model, base, chosen, trust_remote_code)
    result = run_forget(
        opened(tuned), None if below is None else opened(below), train, sides, out, chosen,
        recipe=read_recipe(recipe, model), base_folder=str(base) if isinstance(base, str | Path) else None,
        models=[str(m) for m in models], retrained=retrain, own=evaluate, names={"train": data_name(data)},
        resume=resume, show=show_progress,
    )  # fmt: skip
    _ = write_report(result.run, reveal=reveal)
    return result


@takes_settings(GridSettings, StudySettings)
def study(
    tasks: str | Path | dict[str, Any] = "casebook",
    models: dict[str, str | Path] | None = None,
    *,
    arms: Sequence[Arm] | None = None,
    out: str | Path = "remanence-study",
    resume: bool = False,
    executor: str | Executor = "serial",
    workers: int | None = None,
    ray_address: str | None = None,
    keep_models: bool = False,
    reveal: bool = False,
    show_progress: bool = True,
    **settings: Any,
) -> Studied:
    """Does fine-tuning memorize by task, once chance is taken out? Fine-tune and audit every arm; write one report.

    `tasks`: a Python file with `tasks`, a dict name -> function that gives rows, or `casebook`, the fictional one that
    ships. `models`: base models by name. `arms`: the arms themselves, in place of every combination of
    `GridSettings`. `executor`: serial runs the arms in `workers` processes of this machine, ray on the workers of the
    cluster at `ray_address`. Raises `RemanenceError` on bad input.
    """
    chosen = StudySettings(**fields_of(StudySettings, settings))
    values = GridSettings(**fields_of(GridSettings, settings))
    refuse_taken(out, resume=resume)
    file = TaskFile("tasks", tasks) if isinstance(tasks, dict) else read_tasks(tasks)
    named = {name: str(folder) for name, folder in (models or casebook_models(file.name)).items()}
    if arms is None and file.arms is not None:
        arms = list(file.arms(list(file.tasks), list(named)))
    if arms is None:
        picked = [task for task in file.tasks if not values.only or task in values.only or family(task) in values.only]
        arms = [
            arm
            for name, folder in named.items()
            for arm in grid(picked, [name], replace(values, loss_on=trainable_on(folder, values.loss_on)))
        ]
    run = partial(run_study, file.tasks, named, arms, out, chosen,
                  resume=resume, keep_models=keep_models, show=show_progress)  # fmt: skip
    if executor == "serial" and ray_address is None:
        result = run(workers=workers or 1)
    else:
        with open_executor(executor, workers, ray_address) as opened:
            result = run(executor=opened)
    _ = write_report(result.run, reveal=reveal)
    return result


def score(run: str | Path, measures: list[str] | None = None) -> Audit:
    """Score a finished run or study again from its tables, without the model, and write its report anew."""
    opened = Run.open(run)
    if opened.spec["job"] == "study":
        _ = rescore_study(opened)
        _ = write_report(opened)
        return Audit(opened, opened.read_json("verdict.json"))
    require_audit(opened, "scored again")
    result = rescore(opened, measures)
    _ = write_report(result.run)
    return result


def compare(one: str | Path, other: str | Path) -> Comparison:
    """What changed between two runs over the same rows."""
    runs = Run.open(one), Run.open(other)
    for run in runs:
        require_audit(run, "compared")
    return compare_runs(*runs)


def require_audit(run: Run, what: str) -> None:
    """Raise `RemanenceError` for a run of another job."""
    job = run.spec.get("job")
    if job != "audit":
        raise RemanenceError(f"{run.folder.name} holds a run of `remanence {job}`, and only audits can be {what}.")
