"""`remanence list` and `replicate`: every system, and every paper's claim."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, numbers
from remanence.core.errors import RemanenceError


def list_systems(
    needs: Annotated[str | None, typer.Option(help="Only systems that such a target serves, like generates.")] = None,
    format: Format = "table",
) -> None:
    """Every system: what it asks, what its target must be able to do, and its paper."""
    check_format(format)
    from dataclasses import asdict

    from remanence.core.catalogue import entries

    found = [e for e in entries() if needs is None or needs.lower() in e.needs.lower()]
    if not found:
        raise RemanenceError(f"No system asks for a target that {needs!r}: try generates, scores or opens.")
    if format == "json":
        for entry in found:
            typer.echo(json.dumps(asdict(entry)))
        return
    wing = ""
    for entry in found:
        if entry.wing != wing:
            wing = entry.wing
            typer.echo(f"\n{wing}/  ({entry.verb})")
        typer.echo(f"  {entry.name:<22} {entry.caption}")
        typer.echo(f"  {'':<22} needs {entry.needs}; {entry.paper}")


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
