"""What the commands print and write at their end."""

from __future__ import annotations

import json
from typing import Any

import typer

from remanence.cli.options import CIOptions
from remanence.core.errors import RemanenceError

FAILED = 3
"""Exit code when the rule of --fail-if holds."""


def print_verdict(run: Any, format: str) -> None:
    """Print the verdict of a run on stdout."""
    if format == "json":
        if not run.has("verdict.json"):
            raise RemanenceError(
                f"{run.folder.name} has no verdict, because the run is not finished: repeat its command with --resume."
            )
        typer.echo(json.dumps(run.read_json("verdict.json")))
        return
    from remanence.report.terminal import verdict_plain

    typer.echo(verdict_plain(run))


def write_ci_files(run: Any, files: CIOptions) -> None:
    """Write the verdict for a CI server, where that was asked for."""
    from remanence.report.junit import write_junit
    from remanence.report.summary import append_summary

    if files.summary is not None:
        append_summary(run, files.summary)
    if files.junit is not None:
        write_junit(run, files.junit)
