"""`remanence finetune`: fine-tune a model so that it can be audited."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.command import Given
from remanence.cli.options import ColumnOptions, FormatOptions, ModelOptions, TrainingDataOptions
from remanence.core.settings import option
from remanence.training.settings import FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class FinetuneRunOptions(FormatOptions):
    """The held-out rows and the folder of a fine-tuned model."""

    heldout: Path | None = option(None, group="data", metavar="FILE")
    """Held-out rows; then no rows of --data are held out."""
    out: Path = option(Path("remanence-model"), group="output", metavar="FOLDER")
    """Folder for the model and its training record."""
    resume: bool = option(False, group="output")
    """Repeat the interrupted training in --out, from its first step."""


def finetune(
    model: ModelOptions,
    rows: TrainingDataOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, FinetuneSettings],
    run: FinetuneRunOptions,
) -> None:
    """Fine-tune a model so that it can be audited: hold rows out before training, and record how it was trained."""
    from remanence.jobs.finetune import finetune_job

    if isinstance(settings.get("template"), str):
        settings["template"] = settings["template"].replace("\\n", "\n")
    result = finetune_job(
        model.model,
        rows.data,
        heldout=run.heldout,
        out=run.out,
        resume=run.resume,
        trust_remote_code=model.trust_remote_code,
        columns=columns.named,
        **settings,
    )
    typer.echo(json.dumps(result.record) if run.format == "json" else result.text())
    typer.echo(f"\nto audit it: {result.audit_command(model.model)}", err=True)
