"""`remanence replicate`: check a paper's claim by a small experiment."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, numbers


def replicate(
    name: Annotated[str, typer.Argument(help="An experiment of the catalogue, like goldfish.")],
    seeds: Annotated[str, typer.Option(help="Seeds, one experiment each.")] = "0,1,2",
    size: Annotated[str, typer.Option(help="Size: default, quick (seconds, for a first look), or real.")] = "default",
    workers: Annotated[int, typer.Option(help="Processes; seeds and arms run in parallel.", min=1)] = 1,
    save: Annotated[bool, typer.Option("--save", help="Store the result in the package, for its page.")] = False,
    executor: Annotated[str, typer.Option(help="Executor: serial (this machine), or ray.")] = "serial",
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster, HOST:PORT.")] = None,
    format: Format = "table",
) -> None:
    """Check a paper's claim by a small experiment, and say what came of it here.

    One sentence per part of the claim, with the figures. The claim holds here when it holds for every seed.
    """
    check_format(format)
    wanted = numbers(seeds, "--seeds")
    from remanence.replications.frame import run
    from remanence.replications.frame.stored import WORDS, sentence

    experiment = run.find_experiment(name).at(size)
    judged: list[tuple[int, run.Verdict]] = []
    with run.workers_for(executor, workers, ray_address) as by:
        for seed, verdict in run.verdicts(experiment, wanted, by):
            judged.append((seed, verdict))
            if format == "json":
                typer.echo(json.dumps(run.summary(seed, verdict)))
            else:
                typer.echo(f"seed {seed}: {WORDS[verdict.holds]} here. {verdict.text}")
    if format == "table" and len(judged) > 1:
        typer.echo(f"Over all seeds: {sentence([verdict.holds for _, verdict in judged])}.")
    if save:
        path = run.save(run.result(name, experiment, size, judged))
        typer.echo(f"stored in {path}; write its page with python tools/reference.py", err=True)
