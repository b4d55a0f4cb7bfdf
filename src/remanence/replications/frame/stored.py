"""Stored results of experiments: one JSON file each, read without loading torch or numpy.

A file holds size, settings, seeds, versions, the figures of every seed, and what the rule said of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
WORDS = {True: "holds", False: "does not hold", None: "cannot be decided"}
LEAST_SEEDS = 3
"""A result is stored only if it has as many seeds."""


def every(answers: Sequence[bool | None]) -> bool | None:
    """True when all are True, False when one is False, else None.

    This is the rule for the parts of a claim, and again for seeds: a claim holds here when it holds for every seed, and
    does not hold when it fails for one; otherwise it cannot be decided.
    """
    return False if False in answers else None if None in answers else True


def sentence(answers: Sequence[bool | None]) -> str:
    """The verdict over seeds with the counts, such as 'does not hold, 2 seeds of 3; cannot be decided, 1'."""
    verdict = every(answers)
    others = [answer for answer in (True, False, None) if answer is not verdict and answer in answers]
    counts = [f"{WORDS[answer]}, {answers.count(answer)}" for answer in others]
    return "; ".join([f"{WORDS[verdict]}, {answers.count(verdict)} seeds of {len(answers)}", *counts])


def read_result(name: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The stored result of an experiment, or None."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def results_for(system: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The stored results of all experiments that check a claim about this system of the catalogue."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return [result for result in found if result["system"] == system]
