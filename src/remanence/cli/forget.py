"""`remanence forget`: from an audit that is red to one that is green."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.shared import FAILED, Format, JUnit, Summary, check_format, columns, decimals, names, say, tell_ci
from remanence.core.errors import RemanenceError


def forget(
    model: Annotated[str, typer.Option(help="The model to change: folder, PEFT adapter folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="The rows that it was trained on.")],
    run: Annotated[Path | None, typer.Option(help="The audit that found the leaks: its rows are forgotten.")] = None,
    forget: Annotated[Path | None, typer.Option(help="Or a file of training rows to forget.")] = None,
    ids: Annotated[str, typer.Option(help="Or their ids, like row-7,row-9.")] = "",
    retain: Annotated[Path | None, typer.Option(help="Rows to keep; default: all other training rows.")] = None,
    heldout: Annotated[Path | None, typer.Option(help="Rows of the same kind that were not trained on.")] = None,
    base: Annotated[str | None, typer.Option(help="The model before fine-tuning; an adapter names its own.")] = None,
    method: Annotated[str, typer.Option(help="auto, all, or names like npo,localized.")] = "auto",
    limit: Annotated[float, typer.Option(help="Greatest rise of the held-out loss: 0.02 = 2 %.")] = 0.02,
    goal: Annotated[float, typer.Option(help="Share of the excess extraction that has to go.")] = 0.95,
    steps: Annotated[int, typer.Option(help="Most optimizer steps of a method that trains.")] = 60,
    learning_rates: Annotated[str, typer.Option(help="Rates to try; default: each method's own.")] = "",
    batch_size: Annotated[int, typer.Option(help="Forget rows per step, and as many retain rows.")] = 8,
    check_every: Annotated[int, typer.Option(help="Steps from one look at the model to the next.")] = 10,
    beyond: Annotated[int, typer.Option(help="Further looks after a path could have stopped.")] = 2,
    twins: Annotated[str, typer.Option(help="Near copies of rows to forget: forget or keep.")] = "forget",
    retrain: Annotated[bool, typer.Option("--retrain", help="Train once more without the rows, to compare.")] = False,
    recipe: Annotated[Path | None, typer.Option(help="How the model was trained; default: its training.json.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="A model folder to fuse with; repeat for several.")] = None,
    evaluate: Annotated[
        list[str] | None, typer.Option(help="A measure of use of your own, FILE.py:FUNCTION; repeat for several.")
    ] = None,
    heldout_rows: Annotated[int, typer.Option(help="At most so many held-out rows are looked at.")] = 200,
    finalists: Annotated[int, typer.Option(help="With auto, so many methods are judged in full.")] = 3,
    asked_rows: Annotated[int, typer.Option(help="At most so many rows a group are put to the models.")] = 40,
    exposure_rows: Annotated[int, typer.Option(help="At most so many rows whose exposure is measured.")] = 24,
    untouched_rows: Annotated[int, typer.Option(help="At most so many other training rows are looked at.")] = 100,
    relearn_steps: Annotated[int, typer.Option(help="Steps of trying to bring rows back; 0 = none.")] = 30,
    merge: Annotated[bool, typer.Option("--merge", help="Give an adapter back merged into its base.")] = False,
    loss_on: Annotated[str | None, typer.Option(help="Tokens that carried loss; default: as in the audit.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens after which training cut a row; likewise.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run; the model is in its folder model.")] = Path(
        "remanence-forget"
    ),
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    summary: Summary = None,
    junit: JUnit = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Make the model forget rows, prove that they are gone, and show what it costs. Exit code 3: goal not reached."""
    check_format(format)
    if forget is not None and ids.strip():
        raise RemanenceError("Name the rows to forget once: with --forget or with --ids.")
    own = dict(_function(one) for one in evaluate or ())
    from remanence.jobs.api import forget as job

    given: dict[str, Any] = {"loss_on": loss_on, "max_length": max_length}
    result = job(
        model,
        data,
        run=run,
        forget=forget if forget is not None else list(names(ids)) or None,
        retain=retain,
        heldout=heldout,
        base=base,
        recipe=recipe,
        models=peer or (),
        retrain=retrain,
        evaluate=own,
        out=out,
        resume=resume,
        reveal=reveal,
        trust_remote_code=trust_remote_code,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        methods=names(method),
        limit=limit,
        goal=goal,
        steps=steps,
        learning_rates=decimals(learning_rates, "--learning-rates") if learning_rates.strip() else (),
        batch_size=batch_size,
        check_every=check_every,
        beyond=beyond,
        twins=twins,
        finalists=finalists,
        asked_rows=asked_rows,
        exposure_rows=exposure_rows,
        heldout_rows=heldout_rows,
        untouched_rows=untouched_rows,
        relearn_steps=relearn_steps,
        merge=merge,
        seed=seed,
        device=device,
        **{name: value for name, value in given.items() if value is not None},
    )
    say(result.run, format)
    tell_ci(result.run, summary, junit)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)
    if result.model is not None:
        typer.echo(f"model: {result.model}", err=True)
    if not result.verdict["reached"]:
        raise typer.Exit(FAILED)


def _function(text: str) -> tuple[str, Callable[[Any], float]]:
    """FILE.py:FUNCTION, a file of the user's own, as (name, function)."""
    file, colon, name = text.rpartition(":")
    path = Path(file)
    if not colon or path.suffix != ".py" or not path.is_file():
        raise RemanenceError(f"--evaluate is FILE.py:FUNCTION, a function of a target; got {text!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise RemanenceError(f"{path.name} has no function {name!r}.")
    return name, function  # pyright: ignore[reportReturnType]
