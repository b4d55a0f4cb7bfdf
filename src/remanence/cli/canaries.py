"""`remanence canaries`: plant rows with a secret, to compare memorization with chance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.command import Given
from remanence.cli.options import ColumnOptions, FinetunedModelOptions, ModelOptions, RunOptions, TrainingDataOptions
from remanence.cli.output import print_verdict
from remanence.core.settings import check_settings, option, required
from remanence.jobs.canaries.settings import CanarySettings, MakeSettings


@dataclass(frozen=True, kw_only=True)
class MakeOptions:
    """The file of canaries."""

    out: Path = option(Path("canaries.json"), group="output", metavar="FILE")
    """File for the canaries and the control canaries."""


def make(
    model: ModelOptions,
    rows: TrainingDataOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, MakeSettings],
    options: MakeOptions,
) -> None:
    """Make canaries in the shape of your rows, and control canaries that are never planted."""
    from remanence.jobs.canaries.api import make_canaries

    key = make_canaries(
        model.model,
        rows.data,
        out=options.out,
        trust_remote_code=model.trust_remote_code,
        columns=columns.named,
        **settings,
    )
    typer.echo(key.summary())
    typer.echo(f"\nnext: remanence canaries plant --data {rows.data} --canaries {options.out} --out PLANTED", err=True)


@dataclass(frozen=True, kw_only=True)
class PlantOptions:
    """What is planted where, and how often."""

    data: Path = required(metavar="FILE")
    """Training rows: JSONL, CSV, TSV (or .gz of these) or Parquet."""
    canaries: Path = required(metavar="FILE")
    """File that `canaries make` wrote."""
    copies: tuple[int, ...] = option((1, 4, 16), group="data", least=1, nonempty=True)
    """Numbers of copies; each canary gets one of them at random."""
    seed: int = option(0, group="data", least=0)
    """Random seed of the numbers of copies and of the positions."""
    out: Path = required(group="output", metavar="FILE")
    """File for the data with canaries, with the same extension."""
    key: Path | None = option(None, group="output", metavar="FILE")
    """File for the key. Default: beside --out."""

    def __post_init__(self) -> None:
        check_settings(self)


def plant(options: PlantOptions) -> None:
    """Insert canaries at random positions among your rows. No file is overwritten."""
    from remanence.jobs.canaries.api import plant_canaries

    planted = plant_canaries(
        options.data, options.canaries, copies=options.copies, out=options.out, key=options.key, seed=options.seed
    )
    typer.echo(planted.text())


@dataclass(frozen=True, kw_only=True)
class CanaryRunOptions(RunOptions):
    """The key of the planted canaries, and the run folder."""

    key: Path = required(metavar="FILE")
    """Key that `canaries plant` wrote."""
    out: Path = option(Path("remanence-canaries"), group="output", metavar="FOLDER")
    """Folder for the run."""


def audit(model: FinetunedModelOptions, settings: Annotated[Given, CanarySettings], run: CanaryRunOptions) -> None:
    """Measure the exposure of planted canaries by number of copies, and compare it with chance."""
    from remanence.jobs.canaries.api import audit_canaries

    result = audit_canaries(
        model.model,
        run.key,
        base=model.base,
        out=run.out,
        resume=run.resume,
        reveal=run.reveal,
        trust_remote_code=model.trust_remote_code,
        **settings,
    )
    print_verdict(result.run, run.format)
    typer.echo(f"\nreport: {run.out / 'report.html'}", err=True)


@dataclass(frozen=True, kw_only=True)
class RemoveOptions:
    """The data with canaries, and the file without them."""

    data: Path = required(metavar="FILE")
    """Data with canaries."""
    key: Path = required(metavar="FILE")
    """Key that `canaries plant` wrote."""
    out: Path = required(group="output", metavar="FILE")
    """File for the data without canaries, with the same extension."""


def remove(options: RemoveOptions) -> None:
    """Remove the canaries from the data, and verify that the result equals the original file."""
    from remanence.jobs.canaries.api import remove_canaries

    typer.echo(remove_canaries(options.data, options.key, out=options.out).text())
