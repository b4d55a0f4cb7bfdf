"""`remanence report`, `score` and `compare`: runs that are there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.shared import Format, JUnit, RunFolder, Summary, check_format, names, say, tell_ci


def report(
    run: RunFolder,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text.")] = False,
    summary: Summary = None,
    junit: JUnit = None,
    format: Format = "table",
) -> None:
    """Write report.html of a run and print its verdict."""
    check_format(format)
    from remanence.core.run import Run
    from remanence.report.html import write_report

    path = write_report(Run.open(run), reveal=reveal)
    say(Run.open(run), format)
    tell_ci(Run.open(run), summary, junit)
    typer.echo(f"\nreport: {path}", err=True)


def score(
    run: RunFolder,
    measures: Annotated[str | None, typer.Option(help="Likelihood measures, like loss,min_k.")] = None,
    format: Format = "table",
) -> None:
    """Score a finished run again from its token tables, without the model."""
    check_format(format)
    from remanence.jobs.api import score as again

    result = again(run, None if measures is None else list(names(measures)))
    say(result.run, format)


def compare(
    one: Annotated[Path, typer.Argument(help="The run before.", metavar="RUN")],
    other: Annotated[Path, typer.Argument(help="The run after.", metavar="RUN")],
    format: Format = "table",
) -> None:
    """What changed between two runs over the same rows?"""
    check_format(format)
    from remanence.jobs.api import compare as compared

    result = compared(one, other)
    if format == "json":
        typer.echo(json.dumps(result.to_json()))
        return
    typer.echo(result.text())
    for title, ids in (("no longer", result.went), ("new", result.came)):
        if ids:
            typer.echo(f"{title}: {', '.join(ids[:20])}{', ...' if len(ids) > 20 else ''}")
    for note in result.notes:
        typer.echo(note)
