"""`remanence list`, `show` and `run`: every system by its name."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.command import Given
from remanence.cli.options import ColumnOptions, ExecutorOptions, FormatOptions, HeldoutOptions, RunOptions
from remanence.core.errors import RemanenceError
from remanence.core.settings import option
from remanence.jobs.systems.settings import RunSettings
from remanence.models.endpoint.settings import EndpointSettings

WIDTH = 96
"""Characters per line of what is printed for people."""


@dataclass(frozen=True, kw_only=True)
class ListOptions(FormatOptions):
    """Which systems are listed."""

    verb: str | None = option(None, group="data")
    """Only systems of this verb: measure, attack, mitigation, memory, benchmark, theory or experiment."""
    wing: str | None = option(None, group="data", metavar="FOLDER")
    """Only systems in this folder, such as measure/likelihood or mitigate."""
    needs: str | None = option(None, group="data", metavar="ABILITY")
    """Only systems that need this ability of the target: generates, scores or opens."""


def list_systems(
    words: Annotated[list[str] | None, typer.Argument(help="Only systems whose text has all of these words.")] = None,
    *,
    options: ListOptions,
) -> None:
    """List the systems: what each answers, what its target must be able to do, and its paper."""
    from remanence.core.catalogue import VERBS, Entry, entries
    from remanence.jobs.systems.describe import described, requirement

    if options.verb is not None and options.verb.capitalize() not in VERBS:
        raise RemanenceError(f"--verb is one of {', '.join(v.lower() for v in VERBS)}, got {options.verb!r}.")

    def chosen(entry: Entry) -> bool:
        text = " ".join((entry.name, entry.title, entry.caption, entry.about, entry.purpose, entry.paper)).lower()
        return (
            (options.verb is None or entry.verb == options.verb.capitalize())
            and (options.wing is None or f"{entry.wing}/".startswith(f"{options.wing.strip('/')}/"))
            and (options.needs is None or options.needs.lower() in entry.needs.lower())
            and all(word.lower() in text for word in words or ())
        )

    listed = [entry for entry in entries() if chosen(entry)]
    if (
        not listed
        and options.needs is not None
        and not any(options.needs.lower() in entry.needs.lower() for entry in entries())
    ):
        raise RemanenceError(f"No system asks for a target that {options.needs!r}: try generates, scores or opens.")
    if not listed:
        raise RemanenceError("No system fits: `remanence list` without filters shows them all.")
    if options.format == "json":
        for entry in listed:
            typer.echo(json.dumps({**described(entry), "wing": entry.wing}))
        return
    heading = ""
    for entry in listed:
        if f"{entry.wing}/  ({entry.verb})" != heading:
            heading = f"{entry.wing}/  ({entry.verb})"
            typer.echo(f"\n{heading}")
        typer.echo(f"  {entry.name:<22} {entry.caption}")
        typer.echo(f"  {'':<22} needs {requirement(entry)}; {entry.paper}")


@dataclass(frozen=True, kw_only=True)
class ShowOptions(FormatOptions):
    """Which system is shown."""

    verb: str | None = option(None, group="data")
    """Verb of the system, where an experiment has the same name."""


def show(
    name: Annotated[str, typer.Argument(help="A system's name, such as min_k.")],
    options: ShowOptions,
) -> None:
    """Show what a system answers, its parameters, what it needs and costs, its paper, and what was measured here."""
    from remanence.core.catalogue import VERBS, find
    from remanence.jobs.systems.describe import described, description

    entry = find(name, VERBS if options.verb is None else (options.verb.capitalize(),))
    typer.echo(json.dumps(described(entry)) if options.format == "json" else description(entry))


@dataclass(frozen=True, kw_only=True)
class SystemInputOptions:
    """What a system is run on."""

    model: str | None = option(None, group="data", metavar="MODEL")
    """Fine-tuned model: folder, PEFT adapter folder, Hub name, or api:MODEL@URL for a model on a server."""
    base: str | None = option(None, group="data", metavar="MODEL")
    """Base model, before fine-tuning. Default: the one that an adapter names."""
    data: Path | None = option(None, group="data", metavar="FILE")
    """Training rows: JSONL, CSV or Parquet, gzipped or not."""
    forget: str | None = option(None, group="data", metavar="FILE|IDS")
    """Rows that a mitigation unlearns: a file of rows, or row ids separated by commas."""
    trust_remote_code: bool = option(False, group="machine")
    """Run Python code that comes with the model."""


@dataclass(frozen=True, kw_only=True)
class SystemRunOptions(RunOptions):
    """Parameters of the system, and the run folder."""

    assign: tuple[str, ...] = option((), name="--set", split=False, metavar="NAME=VALUE")
    """Parameter of the system, as NAME=VALUE; may be repeated."""
    out: Path = option(Path("remanence-run"), group="output", metavar="FOLDER")
    """Folder for the run."""


def run(
    name: Annotated[str, typer.Argument(help="A system's name, such as min_k.")],
    inputs: SystemInputOptions,
    heldout: HeldoutOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, RunSettings],
    executor: ExecutorOptions,
    endpoint: Annotated[Given, EndpointSettings],
    options: SystemRunOptions,
) -> None:
    """Run a system by its name on a model and its training rows."""
    from remanence.core.catalogue import find
    from remanence.jobs.systems.build import assignments

    values: dict[str, Any] = assignments(options.assign)
    _ = find(name)  # an unknown name is refused before anything heavy is loaded
    from remanence.jobs.systems.run import run as run_system

    forget = inputs.forget
    ids = None if forget is None or Path(forget).is_file() else [part.strip() for part in forget.split(",")]
    result = run_system(
        name,
        inputs.model,
        inputs.data,
        heldout=heldout.heldout,
        base=inputs.base,
        forget=ids or forget,
        out=options.out,
        settings=settings,
        resume=options.resume,
        reveal=options.reveal,
        trust_remote_code=inputs.trust_remote_code,
        columns=columns.named,
        executor=executor.executor,
        workers=executor.workers,
        ray_address=executor.ray_address,
        endpoint=EndpointSettings(**endpoint) if endpoint else None,
        **values,
    )
    lines = (textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in result.lines())
    typer.echo(json.dumps(result.verdict) if options.format == "json" else "\n".join(lines))
    typer.echo(f"\nreport: {options.out / 'report.html'}", err=True)
