"""`remanence match`: which training rows do generated texts copy?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.command import Given
from remanence.cli.options import ColumnOptions, ExecutorOptions, HeldoutOptions, RunOptions
from remanence.cli.output import print_verdict
from remanence.core.settings import option
from remanence.jobs.match.settings import MatchSettings


@dataclass(frozen=True, kw_only=True)
class MatchRunOptions(RunOptions):
    """The run folder of a match, its index, and the model behind `--background base`."""

    base: str | None = option(None, group="data", metavar="MODEL")
    """Base model, before fine-tuning, for --background base."""
    out: Path = option(Path("remanence-match"), group="output", metavar="FOLDER")
    """Folder for the run."""
    index: Path | None = option(None, group="output", metavar="FOLDER")
    """Folder of the index of the training rows, which is built once and used again. Default: in --out."""


def match(
    generated: Annotated[Path, typer.Argument(help="Generated texts: JSONL, CSV or Parquet, gzipped or not.")],
    training: Annotated[Path, typer.Argument(help="Training rows.")],
    heldout: HeldoutOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, MatchSettings],
    executor: ExecutorOptions,
    run: MatchRunOptions,
) -> None:
    """Find out which words of generated texts come from the prompt, from common language, or from a training row.

    Needs no model.
    """
    from remanence.jobs.api import match as run_match

    result = run_match(
        generated,
        training,
        heldout=heldout.heldout,
        base=run.base,
        out=run.out,
        index=run.index,
        resume=run.resume,
        reveal=run.reveal,
        columns=columns.named,
        executor=executor.executor,
        workers=executor.workers,
        ray_address=executor.ray_address,
        **settings,
    )
    print_verdict(result.run, run.format)
    typer.echo(f"\nreport: {run.out / 'report.html'}", err=True)
