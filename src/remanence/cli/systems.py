"""`remanence list`, `show` and `run`: every system by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.shared import Format, check_format, columns
from remanence.core.errors import RemanenceError


def list_systems(
    words: Annotated[list[str] | None, typer.Argument(help="Only systems whose text has all of these words.")] = None,
    verb: Annotated[str | None, typer.Option(help="Only this verb: measure, attack, mitigation, ...")] = None,
    wing: Annotated[str | None, typer.Option(help="Only this folder: measure/likelihood, mitigate, ...")] = None,
    needs: Annotated[
        str | None, typer.Option(help="Only systems that such a target serves: generates, scores or opens.")
    ] = None,
    format: Format = "table",
) -> None:
    """List the systems: what each answers, what its target must be able to do, and its paper."""
    check_format(format)
    from remanence.core.catalogue import VERBS, Entry, entries
    from remanence.jobs.systems.describe import described, requirement

    if verb is not None and verb.capitalize() not in VERBS:
        raise RemanenceError(f"--verb is one of {', '.join(v.lower() for v in VERBS)}, got {verb!r}.")

    def chosen(entry: Entry) -> bool:
        text = " ".join((entry.name, entry.title, entry.caption, entry.about, entry.purpose, entry.paper)).lower()
        return (
            (verb is None or entry.verb == verb.capitalize())
            and (wing is None or f"{entry.wing}/".startswith(f"{wing.strip('/')}/"))
            and (needs is None or needs.lower() in entry.needs.lower())
            and all(word.lower() in text for word in words or ())
        )

    found = [entry for entry in entries() if chosen(entry)]
    if not found and needs is not None and not any(needs.lower() in entry.needs.lower() for entry in entries()):
        raise RemanenceError(f"No system asks for a target that {needs!r}: try generates, scores or opens.")
    if not found:
        raise RemanenceError("No system fits: `remanence list` without filters shows them all.")
    if format == "json":
        for entry in found:
            typer.echo(json.dumps({**described(entry), "wing": entry.wing}))
        return
    heading = ""
    for entry in found:
        if f"{entry.wing}/  ({entry.verb})" != heading:
            heading = f"{entry.wing}/  ({entry.verb})"
            typer.echo(f"\n{heading}")
        typer.echo(f"  {entry.name:<22} {entry.caption}")
        typer.echo(f"  {'':<22} needs {requirement(entry)}; {entry.paper}")


def show(
    name: Annotated[str, typer.Argument(help="A system's name, such as min_k.")],
    verb: Annotated[str | None, typer.Option(help="Verb, where an experiment has the name of a system.")] = None,
    format: Format = "table",
) -> None:
    """Show what a system answers, its parameters, what it needs and costs, its paper, and what was measured here."""
    check_format(format)
    from remanence.core.catalogue import VERBS, find
    from remanence.jobs.systems.describe import described, description

    entry = find(name, VERBS if verb is None else (verb.capitalize(),))
    typer.echo(json.dumps(described(entry)) if format == "json" else description(entry))


def run(
    name: Annotated[str, typer.Argument(help="A system's name, such as min_k.")],
    model: Annotated[
        str | None, typer.Option(help="The fine-tuned model: folder, adapter, Hub name or api:MODEL@URL.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Training rows: JSONL, CSV or Parquet, gzipped or not.")] = None,
    base: Annotated[str | None, typer.Option(help="The model before fine-tuning; an adapter names its own.")] = None,
    heldout: Annotated[Path | None, typer.Option(help="Rows of the same kind that were not trained on.")] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A parameter of the system, as NAME=VALUE; repeat for several.", metavar="NAME=VALUE"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("remanence-run"),
    alpha: Annotated[
        float | None, typer.Option(help="Share of held-out rows that may score above the threshold.  [default: 0.05]")
    ] = None,
    loss_on: Annotated[
        str | None, typer.Option(help="Tokens that carried loss in training: auto, all, completion, assistant.")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens after which training truncated a row.")] = None,
    add_eos: Annotated[bool | None, typer.Option(help="Whether training appended the end-of-text token.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random draws of the run.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or map: distributed over all GPUs.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Number of tokens per batch, padding included.")] = None,
    shard_rows: Annotated[int | None, typer.Option(help="Number of rows per shard.")] = None,
    executor: Annotated[str, typer.Option(help="Executor: serial, or ray for a cluster.")] = "serial",
    workers: Annotated[int | None, typer.Option(help="With --executor ray: number of workers.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="HOST:PORT of the cluster; auto: of this machine.")] = None,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Run a system by its name on a model and its training rows."""
    check_format(format)
    from remanence.core.catalogue import find
    from remanence.jobs.systems.build import assignments

    values = assignments(assign or ())
    _ = find(name)  # an unknown name is refused before anything heavy is loaded
    from remanence.jobs.systems.run import run as run_system

    chosen: dict[str, Any] = {
        "alpha": alpha, "loss_on": loss_on, "max_length": max_length, "add_eos": add_eos, "seed": seed, "dtype": dtype,
        "device": device, "batch_tokens": batch_tokens, "shard_rows": shard_rows,
    }  # fmt: skip
    result = run_system(
        name,
        model,
        data,
        heldout=heldout,
        base=base,
        out=out,
        settings={key: value for key, value in chosen.items() if value is not None},
        resume=resume,
        reveal=reveal,
        trust_remote_code=trust_remote_code,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        executor=executor,
        workers=workers,
        ray_address=ray_address,
        **values,
    )
    typer.echo(json.dumps(result.verdict) if format == "json" else "\n".join(result.lines()))
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)
