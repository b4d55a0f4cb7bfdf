"""`remanence replicate`: check a paper's claim by a small experiment."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, numbers


def replicate(
    name: Annotated[str, typer.Argument(help="A claim of the catalogue, like goldfish.")],
    seeds: Annotated[str, typer.Option(help="Seeds, one experiment each.")] = "0,1,2",
    format: Format = "table",
) -> None:
    """Check a paper's claim by a small experiment, and say what came of it here."""
    check_format(format)
    from remanence.replications.run import run_claim

    for seed in numbers(seeds, "--seeds"):
        for verdict in run_claim(name, [seed]):
            if format == "json":
                told = {"claim": verdict.claim, "holds": verdict.holds, "text": verdict.text}
                typer.echo(json.dumps({"seed": seed, **told, "figures": dict(verdict.figures)}))
                continue
            word = {True: "holds here", False: "does not hold here", None: "cannot be decided here"}[verdict.holds]
            typer.echo(f"seed {seed}: {word}. {verdict.text}")
