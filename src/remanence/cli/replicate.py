"""`remanence replicate`: check a paper's claim by a small experiment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from remanence.cli.options import FormatOptions
from remanence.core.settings import check_settings, option


@dataclass(frozen=True, kw_only=True)
class ReplicateOptions(FormatOptions):
    """How an experiment is run."""

    seeds: tuple[int, ...] = option((0, 1, 2), group="training", least=0, nonempty=True)
    """Random seeds; the experiment is repeated with each."""
    size: Literal["default", "quick", "real"] = option("default", group="training")
    """Size: quick (seconds, for a first look), default, or real (with pre-trained models)."""
    workers: int = option(1, group="machine", least=1)
    """Number of processes; seeds and arms run in parallel."""
    executor: Literal["serial", "ray"] = option("serial", group="machine")
    """Executor: serial (this machine), or ray for a cluster."""
    ray_address: str | None = option(None, group="machine", metavar="HOST:PORT")
    """Address of the Ray cluster."""
    save: bool = option(False, group="output")
    """Store the result in the package, for the page of the experiment."""

    def __post_init__(self) -> None:
        check_settings(self)


def replicate(
    name: Annotated[str, typer.Argument(help="An experiment of the catalogue, such as goldfish.")],
    options: ReplicateOptions,
) -> None:
    """Check a paper's claim by a small experiment, and say what came of it here.

    One sentence per part of the claim, with the figures. The claim holds here when it holds for every seed.
    """
    from remanence.replications.frame import run
    from remanence.replications.frame.stored import WORDS, sentence

    experiment = run.find_experiment(name).at(options.size)
    judged: list[tuple[int, run.Verdict]] = []
    with run.workers_for(options.executor, options.workers, options.ray_address) as by:
        for seed, verdict in run.verdicts(experiment, options.seeds, by):
            judged.append((seed, verdict))
            if options.format == "json":
                typer.echo(json.dumps(run.summary(seed, verdict)))
            else:
                typer.echo(f"seed {seed}: {WORDS[verdict.holds]} here. {verdict.text}")
    if options.format == "table" and len(judged) > 1:
        typer.echo(f"Over all seeds: {sentence([verdict.holds for _, verdict in judged])}.")
    if options.save:
        path = run.save(run.result(name, experiment, options.size, judged))
        typer.echo(f"stored in {path}; write its page with python tools/reference.py", err=True)
