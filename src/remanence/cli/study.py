"""`remanence study`: does memorization differ by task?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from remanence.cli.command import Given
from remanence.cli.options import RunOptions
from remanence.cli.output import print_verdict
from remanence.core.settings import option
from remanence.jobs.study.settings import GridSettings, StudySettings


@dataclass(frozen=True, kw_only=True)
class StudyRunOptions(RunOptions):
    """The base models, the folder, and the processes of a study."""

    models: tuple[str, ...] = option((), name="--model", group="data", split=False, metavar="NAME=MODEL")
    """Base model: NAME=FOLDER, or a folder or Hub name; may be repeated. Default: those of the casebook."""
    executor: Literal["serial", "ray"] = option("serial", group="machine")
    """Executor: serial (this machine), or ray for a cluster."""
    workers: int | None = option(None, group="machine", least=1)
    """Number of arms that are trained at the same time, in one process with one thread each. Default: 1; with ray, as
    many as the cluster has room for."""
    ray_address: str | None = option(None, group="machine", metavar="HOST:PORT")
    """Address of the Ray cluster; auto = the cluster of this machine. Default: a new local one."""
    out: Path = option(Path("remanence-study"), group="output", metavar="FOLDER")
    """Folder for the study."""
    keep_models: bool = option(False, group="output")
    """Keep the fine-tuned models."""


def study(
    tasks: Annotated[str, typer.Argument(help="Python file that defines `tasks`, or casebook.")] = "casebook",
    *,
    grid: Annotated[Given, GridSettings],
    settings: Annotated[Given, StudySettings],
    run: StudyRunOptions,
) -> None:
    """Compare memorization between tasks, corrected for chance: fine-tune and audit a model per task and seed."""
    from remanence.jobs.api import study as run_study

    result = run_study(
        tasks,
        _models(run.models),
        out=run.out,
        resume=run.resume,
        executor=run.executor,
        workers=run.workers,
        ray_address=run.ray_address,
        keep_models=run.keep_models,
        reveal=run.reveal,
        **grid,
        **settings,
    )
    print_verdict(result.run, run.format)
    typer.echo(f"\nreport: {run.out / 'report.html'}", err=True)


def _models(texts: tuple[str, ...]) -> dict[str, str | Path] | None:
    """The models by name: NAME=FOLDER, or a folder that is called by its last part."""
    parts = [text.partition("=") for text in texts]
    return {name if equals else Path(name).name: folder if equals else name for name, equals, folder in parts} or None
