"""What the commands share: options that several of them take, and how words become values."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.core.errors import RemanenceError
from remanence.core.settings import command_line

FAILED = 3
"""Exit code when the --fail-if rule strikes."""

RunFolder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
Summary = Annotated[
    Path | None, typer.Option(help="Add the verdict as Markdown to this file, like $GITHUB_STEP_SUMMARY.")
]
JUnit = Annotated[Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML to this file.")]
Format = Annotated[str, typer.Option("--format", help="What goes to stdout: table, for people, or json, for pipes.")]


def in_command_line(command: Callable[..., None]) -> Callable[..., None]:
    """The command with messages that name options as the command line does."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        with command_line():
            command(*args, **options)

    return run


def columns(
    text: str | None, prompt: str | None, completion: str | None, messages: str | None, id: str
) -> dict[str, str]:
    """The columns that were named."""
    named = {"text": text, "prompt": prompt, "completion": completion, "messages": messages, "id": id}
    return {key: column for key, column in named.items() if column is not None}


def say(run: Any, format: str) -> None:
    """The verdict of a run on stdout."""
    if format == "json":
        if not run.has("verdict.json"):
            raise RemanenceError(
                f"{run.folder.name} has no verdict: the run was not finished; add --resume to the audit."
            )
        typer.echo(json.dumps(run.read_json("verdict.json")))
        return
    from remanence.report.terminal import verdict_plain

    typer.echo(verdict_plain(run))


def tell_ci(run: Any, summary: Path | None, junit: Path | None) -> None:
    """The verdict for a CI server, where it was asked for."""
    from remanence.report.junit import write_junit
    from remanence.report.summary import append_summary

    if summary is not None:
        append_summary(run, summary)
    if junit is not None:
        write_junit(run, junit)


def check_format(format: str) -> None:
    """Raise `RemanenceError` for a format that is none."""
    if format not in {"table", "json"}:
        raise RemanenceError(f"--format is one of table, json, got {format!r}.")


def numbers(text: str, option: str) -> tuple[int, ...]:
    """`0,8,16` as whole numbers."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RemanenceError(f"{option} is a list of whole numbers like 0,8,16, got {text!r}.") from None


def decimals(text: str, option: str) -> tuple[float, ...]:
    """`0.001,0.002` as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise RemanenceError(f"{option} is a list of numbers like 0.001,0.002, got {text!r}.") from None


def names(text: str) -> tuple[str, ...]:
    """`a, b` as words."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
