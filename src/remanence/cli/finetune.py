"""`remanence finetune`: train so that it can be audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, columns


def finetune(
    model: Annotated[str, typer.Option(help="The model to start from: folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="Rows: JSONL, CSV or Parquet, gzipped or not.")],
    heldout: Annotated[
        Path | None, typer.Option(help="Rows not to train on; then none of --data is kept aside.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the model and its record.")] = Path("remanence-model"),
    epochs: Annotated[int, typer.Option(help="Passes over every row.")] = 3,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW, falling linearly to zero.")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="Rows (or packs) per forward pass.")] = 8,
    accumulate: Annotated[int, typer.Option(help="Forward passes per optimizer step.")] = 1,
    warmup_steps: Annotated[int, typer.Option(help="Steps over which the rate rises at first.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Tokens after which a row is cut.")] = 512,
    loss_on: Annotated[str, typer.Option(help="Tokens to learn: auto, all, completion, assistant.")] = "auto",
    template: Annotated[
        str | None, typer.Option(help="Makes prompt and completion anew, like '{prompt} => {completion}'.")
    ] = None,
    heldout_share: Annotated[float, typer.Option(help="Share of the distinct rows kept aside; 0 = none.")] = 0.1,
    split_by: Annotated[str | None, typer.Option(help="Column whose rows stay on one side, like a patient.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    dropout: Annotated[float | None, typer.Option(help="For every dropout probability of the model.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Train a LoRA adapter of this rank instead.")] = None,
    lora_alpha: Annotated[int | None, typer.Option(help="Its strength; default: twice the rank.")] = None,
    trainer: Annotated[str, typer.Option(help="hf (Trainer, Seq2SeqTrainer) or trl (SFTTrainer).")] = "hf",
    packing: Annotated[str, typer.Option(help="With trl, rows per pack: none, bfd (whole), wrapped (cut).")] = "none",
    group_by_length: Annotated[bool, typer.Option("--group-by-length", help="Rows of like length together.")] = False,
    autocast: Annotated[bool, typer.Option("--autocast", help="Compute in bfloat16, on a GPU.")] = False,
    save_epochs: Annotated[bool, typer.Option("--save-epochs", help="Keep the model of every epoch.")] = False,
    device: Annotated[str, typer.Option(help="auto (a GPU if there is one) or cpu.")] = "auto",
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    resume: Annotated[bool, typer.Option("--resume", help="Take up a killed training: from its start.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Fine-tune a model so that it can be audited: rows kept aside before training, everything written down."""
    check_format(format)
    from remanence.jobs.finetune import finetune_job as run

    result = run(
        model,
        data,
        heldout=heldout,
        out=out,
        resume=resume,
        trust_remote_code=trust_remote_code,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        accumulate=accumulate,
        warmup_steps=warmup_steps,
        max_length=max_length,
        loss_on=loss_on,
        template=None if template is None else template.replace("\\n", "\n"),
        heldout_share=heldout_share,
        split_by=split_by,
        seed=seed,
        dropout=dropout,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        trainer=trainer,
        packing=packing,
        group_by_length=group_by_length,
        autocast=autocast,
        save_epochs=save_epochs,
        device=device,
    )
    typer.echo(json.dumps(result.record) if format == "json" else result.text())
    typer.echo(f"\nto audit it: {result.audit_command(model)}", err=True)
