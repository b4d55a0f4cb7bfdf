"""`remanence list`, `show` and `run`: every system by its name."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format
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
