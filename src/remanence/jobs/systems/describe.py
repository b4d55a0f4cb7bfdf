"""What `remanence show` says of a system, from its source text: nothing heavy is imported."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from remanence.core.catalogue import NOTHING, Entry
from remanence.core.sources import HERE, Parameter

ABILITIES = {
    "Generates": "generates text",
    "Scores": "scores tokens",
    "ScoresRendered": "scores rows of token ids",
    "Opens": "is open: a model folder or Hub name",
    "Classifies": "classifies examples",
    "Embeds": "embeds examples",
    "Samples": "draws samples",
}
"""What a target with this ability does."""
GIVEN = ("attack", "index", "calibration", "training", "heldout", "others")
"""Fields that `remanence run` fills from the data and from `--set attack.FIELD=VALUE`."""
RESULTS = HERE / "replications" / "results"
"""Stored verdicts, one JSON file per experiment."""
WIDTH = 96


def requirement(entry: Entry) -> str:
    """What the target must be able to do, in words."""
    if entry.needs == NOTHING:
        return "no model: it makes its own model and data"
    words = " and ".join(ABILITIES.get(ability, ability) for ability in entry.abilities)
    return f"a target that {words}" + (", and the base model" if "base model" in entry.needs else "")


def verdicts(entry: Entry) -> list[dict[str, Any]]:
    """Stored results of the experiments about a system: name, claim, holds (True, False or None), seeds, sentence."""
    found: list[dict[str, Any]] = []
    for path in sorted(RESULTS.glob("*.json")):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if entry.name == (stored.get("name") if entry.verb == "Experiment" else stored.get("system", path.stem)):
            found.append({"name": path.stem, "claim": stored["claim"], **stored["verdict"]})
    return found


def described(entry: Entry) -> dict[str, Any]:
    """The description, JSON-ready."""
    return {
        "name": entry.name,
        "verb": entry.verb,
        "class": f"{entry.module}.{entry.cls}",
        "title": entry.title,
        "caption": entry.caption,
        "about": entry.about,
        "purpose": entry.purpose,
        "needs": entry.needs,
        "cost": entry.cost,
        "paper": entry.paper,
        "parameters": [vars(parameter) for parameter in entry.parameters],
        "verdicts": verdicts(entry),
    }


def description(entry: Entry) -> str:
    """The description for people."""
    parts = [f"{entry.title}: {entry.caption}", entry.purpose]
    if entry.about:
        parts.append(entry.about)
    facts = {
        "verb": f"{entry.verb}, {entry.module}.{entry.cls}",
        "needs": requirement(entry),
        "cost": entry.cost,
        "paper": entry.paper,
    }
    text = "\n\n".join(_filled(block) for part in parts for block in part.split("\n\n"))
    text += "\n\n" + "\n".join(_filled(f"{name + ':':<7}{value}", 7) for name, value in facts.items())
    if entry.parameters:
        text += "\n\nParameters (--set NAME=VALUE):\n" + "\n".join(_parameters(entry))
    found = verdicts(entry)
    if found:
        text += "\n\nMeasured here:\n" + "\n".join(_filled(f"  {_verdict(one)}", 4) for one in found)
    return text


def _parameters(entry: Entry) -> Iterator[str]:
    for parameter in entry.parameters:
        yield _filled(f"  {parameter.name} ({_kind(parameter)}, {_default(parameter)})", 4)
        if parameter.text:
            yield textwrap.fill(parameter.text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _kind(parameter: Parameter) -> str:
    kind = parameter.type
    if kind.startswith("Literal[") and kind.endswith("]"):
        return "one of " + kind.removeprefix("Literal[").removesuffix("]").replace("'", "")
    return kind


def _default(parameter: Parameter) -> str:
    if parameter.name in GIVEN:
        return "filled in by `remanence run`"
    return "required" if parameter.default is None else f"default {parameter.default}"


def _verdict(one: dict[str, Any]) -> str:
    sentence = str(one["sentence"])  # begins with the verdict, in lower case
    return f"{one['claim']} {sentence[0].upper()}{sentence[1:]}."


def _filled(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
