"""`remanence report`, `score` and `compare`: commands on finished runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.options import CIOptions, FormatOptions, RevealOptions
from remanence.cli.output import print_verdict, write_ci_files

RunFolder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]


def report(run: RunFolder, options: RevealOptions, ci: CIOptions) -> None:
    """Write report.html of a run and print its verdict."""
    from remanence.core.run import Run
    from remanence.report.html import write_report

    path = write_report(Run.open(run), reveal=options.reveal)
    print_verdict(Run.open(run), options.format)
    write_ci_files(Run.open(run), ci)
    typer.echo(f"\nreport: {path}", err=True)


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(FormatOptions):
    """Which measures to compute."""

    measures: tuple[str, ...] = ()
    """Likelihood measures, such as loss,min_k. Default: those of the run."""


def score(run: RunFolder, options: ScoreOptions) -> None:
    """Compute the measures of a finished run again from its token tables, without the model."""
    from remanence.jobs.api import score as score_run

    result = score_run(run, list(options.measures) or None)
    print_verdict(result.run, options.format)


def compare(
    before: Annotated[Path, typer.Argument(help="The earlier run.", metavar="BEFORE")],
    after: Annotated[Path, typer.Argument(help="The later run.", metavar="AFTER")],
    options: FormatOptions,
) -> None:
    """Compare two runs on the same rows."""
    from remanence.jobs.api import compare as compare_runs

    comparison = compare_runs(before, after)
    if options.format == "json":
        typer.echo(json.dumps(comparison.to_json()))
        return
    typer.echo(comparison.text())
    for title, ids in (("no longer", comparison.went), ("new", comparison.came)):
        if ids:
            typer.echo(f"{title}: {', '.join(ids[:20])}{', ...' if len(ids) > 20 else ''}")
    for note in comparison.notes:
        typer.echo(note)
