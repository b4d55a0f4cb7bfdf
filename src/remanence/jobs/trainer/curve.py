"""The curve: every look so far, kept in a file that a resumed training takes up again, and which of them is best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from remanence.core.errors import RemanenceError
from remanence.jobs.trainer.look import Look, read_look
from remanence.mitigate.training.early_stopping import Evaluation, best_evaluation

FILE = "audit-curve.jsonl"
"""In the trainer's `output_dir`: one line a look."""


def write_curve(folder: Path, curve: Sequence[Look], probe: str) -> None:
    """Write all looks, whole or not at all; `probe` is the fingerprint of the rows they were taken on."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.part"
    part.write_text("".join(json.dumps({"probe": probe, **asdict(look)}) + "\n" for look in curve), encoding="utf-8")
    part.replace(folder / FILE)


def read_curve(folder: Path, step: int, probe: str) -> list[Look]:
    """The looks up to a step; none where there is no file.

    Raises `RemanenceError` when they were taken on other rows.
    """
    if not (folder / FILE).is_file():
        return []
    lines = [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]
    if any(line["probe"] != probe for line in lines):
        raise RemanenceError(
            f"The curve in {FILE} was measured on other rows than those of this probe: give the rows it began with, "
            "or move the file away to begin a new curve."
        )
    return [read_look(line) for line in lines if line["step"] <= step]


def best_of(curve: Sequence[Look], limit: float) -> Look | None:
    """The lowest held-out loss among looks whose excess is at most `limit`; where there is none, the least excess.

    None without a look that has both figures.
    """
    usable = {
        Evaluation(look.step, look.excess, look.heldout_loss): look
        for look in curve
        if look.excess is not None and look.heldout_loss is not None
    }
    return usable[best_evaluation(list(usable), limit)] if usable else None
