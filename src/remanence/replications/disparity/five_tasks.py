"""The study at the size of a claim: the casebook's five tasks, one seed, one decoder whose loss is on inputs too."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from remanence.corpora.casebook.base_model import base_folder
from remanence.jobs.study.arm import grid
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.study import run_study
from remanence.jobs.study.tasks import casebook_tasks


class Size(NamedTuple):
    """How much is trained and measured."""

    rows: int = 240
    repeated: tuple[tuple[int, int], ...] = ((4, 10), (16, 5))
    measured: int = 50
    calibration: int = 150
    epochs: int = 4
    batch_size: int = 8


FULL = Size()
QUICK = Size(48, ((4, 3), (8, 1)), 16, 40, 1)
"""As measured, and for tests: the same code in seconds."""


@lru_cache(maxsize=1)
def five_tasks(seed: int, size: Size = FULL) -> dict[str, Any]:
    """The verdict of the study (`remanence.jobs.study.verdict`), with the lines of `effects.parquet` as `effects`."""
    settings = StudySettings(
        rows=size.rows,
        repeated=size.repeated,
        members=size.measured,
        heldout=size.measured,
        calibration=size.calibration,
    )
    tasks = casebook_tasks(2 * size.rows + 4 * size.measured + 2 * size.calibration, seed)
    arms = grid(tasks, ["decoder"], [seed], ["all"], epochs=size.epochs, batch_size=size.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        found = run_study(tasks, {"decoder": str(base_folder())}, arms, Path(folder) / "study", settings, show=False)
        return found.verdict | {"effects": found.run.lines("effects")}
