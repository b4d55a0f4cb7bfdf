"""Options that several commands share, as typer annotations."""

from __future__ import annotations

from typing import Annotated

import typer

from remanence.core.errors import RemanenceError

Format = Annotated[str, typer.Option("--format", help="What goes to stdout: table, for people, or json, for pipes.")]


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
