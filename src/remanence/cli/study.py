"""`remanence study`: does memorization differ by task?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.shared import Format, check_format, decimals, names, numbers, say
from remanence.core.errors import RemanenceError


def study(
    tasks: Annotated[str, typer.Argument(help="A Python file with `tasks`, or casebook.")] = "casebook",
    model: Annotated[
        list[str] | None, typer.Option(help="Base model, NAME=FOLDER or FOLDER or Hub name; repeat for several.")
    ] = None,
    only: Annotated[str, typer.Option(help="Only these tasks or families, like summarization,qa.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds; each draws its own rows.")] = "0,1,2",
    loss_on: Annotated[str, typer.Option(help="Tokens that carry loss: completion, all, or both.")] = "completion,all",
    learning_rates: Annotated[str, typer.Option(help="Learning rates.")] = "0.002",
    lora_ranks: Annotated[str, typer.Option(help="LoRA ranks; 0 = all weights are trained.")] = "0",
    epochs: Annotated[int, typer.Option(help="Passes over the rows; every one is a point of the curves.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = 8,
    rows: Annotated[int, typer.Option(help="Training rows of an arm, copies included.")] = 1000,
    repeated: Annotated[str, typer.Option(help="COPIESxROWS: so many different rows stand so often.")] = "4x25,16x12",
    members: Annotated[int, typer.Option(help="Different training rows that are measured.")] = 150,
    heldout: Annotated[int, typer.Option(help="Unseen rows that are measured likewise.")] = 150,
    calibration: Annotated[int, typer.Option(help="Further unseen rows that calibrate the detector.")] = 400,
    max_length: Annotated[int, typer.Option(help="Tokens after which training cuts a row.")] = 256,
    prefixes: Annotated[str, typer.Option(help="Splits, in tokens or per cent.")] = "0,10,30,50,100,10%,25%,50%",
    budgets: Annotated[str, typer.Option(help="How many tokens must come back.")] = "6,10,20,50,100",
    scheme: Annotated[list[str] | None, typer.Option(help="Sampling scheme like T=0.8,k=40; repeat.")] = None,
    detectors: Annotated[str, typer.Option(help="calibrated, pan2015, or both.")] = "calibrated,pan2015",
    alpha: Annotated[float, typer.Option(help="Share of unseen texts that our detector may flag.")] = 0.01,
    attention: Annotated[bool, typer.Option(help="Measure how attention is spread.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("remanence-study"),
    workers: Annotated[int, typer.Option(help="Arms at a time, a process each with one thread.")] = 1,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the fine-tuned models.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    format: Format = "table",
) -> None:
    """Does fine-tuning memorize by task, once chance is taken out? Fine-tunes and audits arm by arm."""
    check_format(format)
    from remanence.jobs.api import study as run

    more: dict[str, Any] = {} if scheme is None else {"schemes": tuple(scheme)}
    result = run(
        tasks,
        _models(model),
        only=names(only),
        seeds=numbers(seeds, "--seeds"),
        loss_on=names(loss_on),
        learning_rates=decimals(learning_rates, "--learning-rates"),
        lora_ranks=numbers(lora_ranks, "--lora-ranks"),
        epochs=epochs,
        batch_size=batch_size,
        out=out,
        resume=resume,
        workers=workers,
        keep_models=keep_models,
        reveal=reveal,
        rows=rows,
        repeated=_doses(repeated),
        members=members,
        heldout=heldout,
        calibration=calibration,
        max_length=max_length,
        prefixes=names(prefixes),
        budgets=numbers(budgets, "--budgets"),
        detectors=names(detectors),
        alpha=alpha,
        attention=attention,
        **more,
    )
    say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)


def _doses(text: str) -> tuple[tuple[int, int], ...]:
    """`4x25,16x12` as pairs of copies and rows."""
    try:
        pairs = [part.split("x") for part in names(text)]
        return tuple((int(copies), int(rows)) for copies, rows in pairs)
    except ValueError:
        raise RemanenceError(f"--repeated is a list of COPIESxROWS like 4x25,16x12, got {text!r}.") from None


def _models(named: list[str] | None) -> dict[str, str | Path] | None:
    """NAME=FOLDER, or a folder called by its last part."""
    if not named:
        return None
    pairs = [one.partition("=") for one in named]
    return {name if mark else Path(name).name: folder if mark else name for name, mark, folder in pairs}
