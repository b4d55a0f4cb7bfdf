"""Reading the contrasts of a study: summarization and dialogue against QA, translation and sentiment."""

from __future__ import annotations

from typing import Any


def among(study: dict[str, Any], name: str) -> dict[str, Any]:
    """The contrast of that name, of the study's only kind of training."""
    found = [line for line in study["contrasts"] if line["name"] == name]
    assert len(found) == 1, f"the study has {len(found)} contrasts called {name!r}"
    return found[0]


def decided(line: dict[str, Any]) -> bool | None:
    """True when its 95 % interval lies above 0, False when below, None when it holds 0 or nothing was measured."""
    if line["value"] is None:
        return None
    return True if line["low_end"] > 0 else (False if line["high_end"] < 0 else None)


def said(line: dict[str, Any]) -> str:
    """The contrast with its interval."""
    if line["value"] is None:
        return f"not measurable ({line['reason']})"
    scale, unit, digits = (1, " nats per token", 3) if line["metric"] == "nats" else (100, " points", 1)
    low, high = (f"{scale * line[end]:+.{digits}f}" for end in ("low_end", "high_end"))
    return f"{scale * line['value']:+.{digits}f}{unit} ({low} to {high})"
