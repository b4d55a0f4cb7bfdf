"""`remanence audit` and `remanence demo`: which training rows can be extracted from a model?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.command import Given
from remanence.cli.options import (
    CIOptions,
    ColumnOptions,
    ExecutorOptions,
    FinetunedModelOptions,
    FormatOptions,
    HeldoutOptions,
    RunOptions,
    TrainingDataOptions,
)
from remanence.cli.output import FAILED, print_verdict, write_ci_files
from remanence.core.settings import option, required
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.models.endpoint.settings import EndpointSettings


@dataclass(frozen=True, kw_only=True)
class AuditModelOptions(FinetunedModelOptions):
    """A fine-tuned model, in a folder or on a server."""

    model: str = required(metavar="MODEL")
    """Fine-tuned model: folder, PEFT adapter folder, Hub name, or api:MODEL@URL for a model on a server."""


@dataclass(frozen=True, kw_only=True)
class AuditRunOptions(RunOptions):
    """The run folder of an audit."""

    out: Path = option(Path("remanence-run"), group="output", metavar="FOLDER")
    """Folder for the run."""
    stream: bool | None = option(None, group="machine")
    """Process rows in blocks and keep one summary line per row, in place of the token tables. Default: for files of
    more than 100,000 rows."""
    fail_if: str | None = option(None, group="output", metavar="RULE")
    """Exit with code 3 if this rule holds, such as 'excess>0.01'."""


def audit(
    model: AuditModelOptions,
    rows: TrainingDataOptions,
    heldout: HeldoutOptions,
    columns: ColumnOptions,
    settings: Annotated[Given, AuditSettings],
    executor: ExecutorOptions,
    streaming: Annotated[Given, StreamSettings],
    endpoint: Annotated[Given, EndpointSettings],
    run: AuditRunOptions,
    ci: CIOptions,
) -> None:
    """Audit a model against its training rows: which can be extracted, and is that more than chance?"""
    from remanence.jobs.api import audit as run_audit

    result = run_audit(
        model.model,
        rows.data,
        heldout=heldout.heldout,
        base=model.base,
        out=run.out,
        fail_if=run.fail_if,
        resume=run.resume,
        reveal=run.reveal,
        trust_remote_code=model.trust_remote_code,
        columns=columns.named,
        executor=executor.executor,
        workers=executor.workers,
        ray_address=executor.ray_address,
        endpoint=EndpointSettings(**endpoint) if endpoint else None,
        stream=run.stream,
        **streaming,
        **settings,
    )
    print_verdict(result.run, run.format)
    write_ci_files(result.run, ci)
    typer.echo(f"\nreport: {run.out / 'report.html'}", err=True)
    if result.failed:
        typer.echo(f"--fail-if {run.fail_if!r} holds.", err=True)
        raise typer.Exit(FAILED)


@dataclass(frozen=True, kw_only=True)
class DemoOptions(FormatOptions):
    """The folder of the demo."""

    out: Path = option(Path("demo"), group="output", metavar="FOLDER")
    """Folder for data, model and run."""
    resume: bool = option(False, group="output")
    """Continue the interrupted demo in --out."""


def demo(demo: DemoOptions) -> None:
    """Fine-tune a small model on fictional rows, audit it, and write the report. Takes minutes."""
    from remanence.jobs.demo import demo as run_demo

    result = run_demo(demo.out, resume=demo.resume)
    print_verdict(result.run, demo.format)
    typer.echo(f"\nreport: {demo.out / 'run' / 'report.html'}", err=True)
