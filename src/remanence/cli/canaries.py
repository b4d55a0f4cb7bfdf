"""`remanence canaries`: made-up rows with a secret, planted on purpose, to measure memorization against chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.shared import Format, check_format, columns, in_command_line, names, numbers, say

app = typer.Typer(
    help="Plant made-up rows with a secret among yours, and measure how well a model remembers them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeyOption = Annotated[Path, typer.Option(help="The key that `canaries plant` wrote.")]


@app.command()
@in_command_line
def make(
    model: Annotated[str, typer.Option(help="The model before fine-tuning: folder, adapter folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="Training rows, whose shape the canaries get.")],
    out: Annotated[Path, typer.Option(help="File for canaries and twins.")] = Path("canaries.json"),
    canaries: Annotated[int, typer.Option(help="Rows to plant.")] = 24,
    twins: Annotated[int, typer.Option(help="Rows of the same kind that are never planted.")] = 192,
    bands: Annotated[str, typer.Option(help="Loss of your own rows to have: low, typical, high.")] = "low,typical,high",
    secret: Annotated[str, typer.Option(help="words, or digits, which can be counted through.")] = "words",
    secret_tokens: Annotated[int, typer.Option(help="Length of secret words, in tokens at least.")] = 10,
    digits: Annotated[int, typer.Option(help="Number of secret digits.")] = 3,
    words: Annotated[str, typer.Option(help="Who writes: model, or rows (words of many rows, shuffled).")] = "model",
    min_tokens: Annotated[int, typer.Option(help="Shortest learned part.")] = 24,
    max_tokens: Annotated[int, typer.Option(help="Longest learned part.")] = 64,
    top_k: Annotated[int, typer.Option(help="The model draws among so many tokens.")] = 50,
    rows_scored: Annotated[int, typer.Option(help="Rows that are scored for the bands.")] = 200,
    rounds: Annotated[int, typer.Option(help="Most rounds of drawing candidates.")] = 60,
    loss_on: Annotated[str, typer.Option(help="Tokens to be learned: auto, all, completion, assistant.")] = "auto",
    max_length: Annotated[int | None, typer.Option(help="Tokens after which training will cut a row.")] = None,
    add_eos: Annotated[bool, typer.Option(help="Whether training will end rows with the end-of-text token.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    batch_tokens: Annotated[int, typer.Option(help="Padded tokens per batch.")] = 4096,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
) -> None:
    """Make canaries in the shape of your rows, and twins that are never planted."""
    from remanence.jobs.canaries.api import make_canaries

    key = make_canaries(
        model,
        data,
        out=out,
        trust_remote_code=trust_remote_code,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        canaries=canaries,
        twins=twins,
        bands=names(bands),
        secret=secret,
        secret_tokens=secret_tokens,
        digits=digits,
        words=words,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        top_k=top_k,
        rows_scored=rows_scored,
        rounds=rounds,
        loss_on=loss_on,
        dtype=dtype,
        max_length=max_length,
        add_eos=add_eos,
        seed=seed,
        device=device,
        batch_tokens=batch_tokens,
    )
    typer.echo(key.told())
    typer.echo(f"\nnext: remanence canaries plant --data {data} --canaries {out} --out PLANTED", err=True)


@app.command()
@in_command_line
def plant(
    data: Annotated[Path, typer.Option(help="Training rows: JSONL, CSV, TSV (or .gz of these) or Parquet.")],
    canaries: Annotated[Path, typer.Option(help="The file that `canaries make` wrote.")],
    out: Annotated[Path, typer.Option(help="File for the data with canaries, with the same ending.")],
    copies: Annotated[str, typer.Option(help="How often canaries stand in the data, dealt out by lot.")] = "1,4,16",
    key: Annotated[Path | None, typer.Option(help="File for the key; default: beside --out.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the lot and of the places.")] = 0,
) -> None:
    """Plant canaries among your rows. Nothing is written over."""
    from remanence.jobs.canaries.api import plant_canaries

    planted = plant_canaries(data, canaries, copies=numbers(copies, "--copies"), out=out, key=key, seed=seed)
    typer.echo(planted.text())


@app.command()
@in_command_line
def audit(
    model: Annotated[str, typer.Option(help="The model trained on the planted data.")],
    key: KeyOption,
    base: Annotated[str | None, typer.Option(help="The model before fine-tuning; an adapter names its own.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("remanence-canaries"),
    loss_on: Annotated[str, typer.Option(help="Tokens that carried loss: auto, all, completion, assistant.")] = "auto",
    max_length: Annotated[int | None, typer.Option(help="Tokens after which training cut a row.")] = None,
    add_eos: Annotated[bool, typer.Option(help="Whether training ended rows with the end-of-text token.")] = True,
    enumerate_most: Annotated[int, typer.Option(help="Digits are counted through up to so many.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of bootstrap and shuffles.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    batch_tokens: Annotated[int, typer.Option(help="Padded tokens per batch.")] = 4096,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the canaries' secrets in the report.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """How exposed are the planted canaries, by repetition, and is that more than chance?"""
    check_format(format)
    from remanence.jobs.canaries.api import audit_canaries

    chosen: dict[str, Any] = {"loss_on": loss_on, "dtype": dtype}
    result = audit_canaries(
        model,
        key,
        base=base,
        out=out,
        resume=resume,
        reveal=reveal,
        trust_remote_code=trust_remote_code,
        max_length=max_length,
        add_eos=add_eos,
        enumerate_most=enumerate_most,
        seed=seed,
        device=device,
        batch_tokens=batch_tokens,
        **chosen,
    )
    say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)


@app.command()
@in_command_line
def remove(
    data: Annotated[Path, typer.Option(help="The data with canaries.")],
    key: KeyOption,
    out: Annotated[Path, typer.Option(help="File for the data without them, with the same ending.")],
) -> None:
    """Take the canaries out of the data again, and say whether it is the very file from before."""
    from remanence.jobs.canaries.api import remove_canaries

    typer.echo(remove_canaries(data, key, out=out).text())
