"""`remanence preflight`: what would TRL train on?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, columns


def preflight(
    model: Annotated[str, typer.Option(help="The model to start from: folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="Rows: JSONL, CSV or Parquet, gzipped or not.")],
    max_length: Annotated[int, typer.Option(help="Tokens after which a row is cut, or of a pack; 0 = no cut.")] = 1024,
    loss_on: Annotated[str, typer.Option(help="Tokens to learn: auto, all, completion, assistant.")] = "auto",
    packing: Annotated[str, typer.Option(help="none, bfd, bfd_split or wrapped.")] = "none",
    secrets: Annotated[
        Path | None, typer.Option(help="Texts that must be learned whole, such as canaries: one a line.")
    ] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """What TRL's SFTTrainer would feed the model: rows cut, split, dropped or without loss. Nothing is trained."""
    check_format(format)
    from remanence.core.errors import RemanenceError
    from remanence.jobs.preflight.dry_run import dry_run

    if secrets is not None and not secrets.is_file():
        raise RemanenceError(f"There is no file {secrets}: check the path to the secrets.")
    lines = [] if secrets is None else secrets.read_text(encoding="utf-8").splitlines()
    found = dry_run(
        model,
        data,
        max_length=max_length,
        loss_on=loss_on,
        packing=packing,
        secrets=[line for line in lines if line.strip()],
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        trust_remote_code=trust_remote_code,
    )
    typer.echo(json.dumps(found.json()) if format == "json" else found.text())
