"""`remanence forget`: remove training rows from a model, and measure what that costs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.command import Given
from remanence.cli.options import CIOptions, ColumnOptions, FinetunedModelOptions, HeldoutOptions, RunOptions
from remanence.cli.output import FAILED, print_verdict, write_ci_files
from remanence.core.errors import RemanenceError
from remanence.core.settings import option, required
from remanence.jobs.forget.settings import ForgetSettings


@dataclass(frozen=True, kw_only=True)
class ForgetDataOptions:
    """The training rows, and which of them to forget."""

    data: Path = required(metavar="FILE")
    """Training rows: JSONL, CSV or Parquet, gzipped or not."""
    run: Path | None = option(None, group="data", metavar="RUN")
    """Run folder of the audit that found the leaks: the rows that were extracted there are forgotten."""
    forget: Path | None = option(None, group="data", metavar="FILE")
    """Training rows to forget, in place of --run."""
    ids: tuple[str, ...] = option((), group="data", metavar="ID,...")
    """Ids of the training rows to forget, in place of --run."""
    retain: Path | None = option(None, group="data", metavar="FILE")
    """Rows to retain. Default: all other training rows."""


@dataclass(frozen=True, kw_only=True)
class ForgetTrainingOptions:
    """How the model was trained, what it is compared with, and measures of the user's own."""

    recipe: Path | None = option(None, group="training", metavar="FILE")
    """How the model was trained, as JSON. Default: the training.json in its folder."""
    retrain: bool = option(False, group="training")
    """Also train a model anew without the forget rows, as the reference."""
    models: tuple[str, ...] = option((), name="--peer", group="training", split=False, metavar="FOLDER")
    """Model folder to fuse with; may be repeated."""
    evaluate: tuple[str, ...] = option((), group="measuring", split=False, metavar="FILE.py:FUNCTION")
    """Function of a target that measures its quality; may be repeated."""


@dataclass(frozen=True, kw_only=True)
class ForgetRunOptions(RunOptions):
    """The run folder of forgetting."""

    out: Path = option(Path("remanence-forget"), group="output", metavar="FOLDER")
    """Folder for the run; the changed model is in its folder `model`."""


def forget(
    model: FinetunedModelOptions,
    rows: ForgetDataOptions,
    heldout: HeldoutOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, ForgetSettings],
    training: ForgetTrainingOptions,
    run: ForgetRunOptions,
    ci: CIOptions,
) -> None:
    """Make a model forget training rows, verify that they are gone, and measure the cost. Exit code 3: goal not met."""
    if rows.forget is not None and rows.ids:
        raise RemanenceError("Name the rows to forget once: with --forget or with --ids.")
    measures = dict(_function(text) for text in training.evaluate)
    from remanence.jobs.api import forget as run_forget

    result = run_forget(
        model.model,
        rows.data,
        run=rows.run,
        forget=rows.forget if rows.forget is not None else list(rows.ids) or None,
        retain=rows.retain,
        heldout=heldout.heldout,
        base=model.base,
        recipe=training.recipe,
        models=training.models,
        retrain=training.retrain,
        evaluate=measures,
        out=run.out,
        resume=run.resume,
        reveal=run.reveal,
        trust_remote_code=model.trust_remote_code,
        columns=columns.named,
        **settings,
    )
    print_verdict(result.run, run.format)
    write_ci_files(result.run, ci)
    typer.echo(f"\nreport: {run.out / 'report.html'}", err=True)
    if result.model is not None:
        typer.echo(f"model: {result.model}", err=True)
    if not result.verdict["reached"]:
        raise typer.Exit(FAILED)


def _function(text: str) -> tuple[str, Callable[[Any], float]]:
    """The name and the function that FILE.py:FUNCTION names."""
    file, colon, name = text.rpartition(":")
    path = Path(file)
    if not colon or path.suffix != ".py" or not path.is_file():
        raise RemanenceError(f"--evaluate is FILE.py:FUNCTION, a function of a target; got {text!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise RemanenceError(f"{path.name} has no function {name!r}.")
    return name, function  # pyright: ignore[reportReturnType]
