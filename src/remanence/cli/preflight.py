"""`remanence preflight`: what would TRL train on?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.command import Given
from remanence.cli.options import ColumnOptions, FormatOptions, ModelOptions, TrainingDataOptions
from remanence.core.errors import RemanenceError
from remanence.core.settings import option
from remanence.jobs.preflight.settings import PreflightSettings


@dataclass(frozen=True, kw_only=True)
class PreflightOptions(FormatOptions):
    """Texts to look for in the training input."""

    secrets: Path | None = option(None, group="data", metavar="FILE")
    """Texts that must be learned whole, such as canaries, one per line."""


def preflight(
    model: ModelOptions,
    rows: TrainingDataOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, PreflightSettings],
    options: PreflightOptions,
) -> None:
    """Report what TRL's SFTTrainer would feed the model: rows truncated, split, dropped or without loss.

    Nothing is trained.
    """
    from remanence.jobs.preflight.dry_run import dry_run

    if options.secrets is not None and not options.secrets.is_file():
        raise RemanenceError(f"There is no file {options.secrets}: check the path to the secrets.")
    lines = [] if options.secrets is None else options.secrets.read_text(encoding="utf-8").splitlines()
    result = dry_run(
        model.model,
        rows.data,
        secrets=[line for line in lines if line.strip()],
        columns=columns.named,
        trust_remote_code=model.trust_remote_code,
        **settings,
    )
    typer.echo(json.dumps(result.json()) if options.format == "json" else result.text())
