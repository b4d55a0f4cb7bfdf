"""The study of five tasks at the size of an experiment: the casebook, one seed, one decoder with loss on inputs too."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from remanence.corpora.casebook.base_model import base_folder
from remanence.jobs.study.arm import grid
from remanence.jobs.study.data import casebook_tasks
from remanence.jobs.study.settings import GridSettings, StudySettings
from remanence.jobs.study.study import run_study
from remanence.replications.frame.code import code_hash
from remanence.replications.frame.experiment import Experiment
from remanence.replications.frame.figure import Figure, difference
from remanence.stats.intervals import Interval
from remanence.testbeds.cache import cached

ARM = "five tasks"


@dataclass(frozen=True)
class Study:
    """What decides the study's result."""

    version: ClassVar[int] = 1

    seed: int
    rows: int
    repeated: tuple[tuple[int, int], ...]
    measured: int
    calibration: int
    epochs: int
    batch_size: int
    code: str
    """Hash of the code, so that a changed study is run again."""

    def verdict(self) -> dict[str, Any]:
        """The verdict (`remanence.jobs.study.verdict`) with the rows of `effects.parquet`; from the cache."""
        return cached(self, self.run, _save, lambda folder: json.loads((folder / "verdict.json").read_text("utf-8")))

    def run(self) -> dict[str, Any]:
        """Fine-tune, generate, detect, compare."""
        settings = StudySettings(
            rows=self.rows,
            repeated=self.repeated,
            members=self.measured,
            heldout=self.measured,
            calibration=self.calibration,
        )
        tasks = casebook_tasks(2 * self.rows + 4 * self.measured + 2 * self.calibration, self.seed)
        arms = grid(
            tasks,
            ["decoder"],
            GridSettings(seeds=(self.seed,), loss_on=("all",), epochs=self.epochs, batch_size=self.batch_size),
        )
        with tempfile.TemporaryDirectory() as folder:
            done = run_study(tasks, {"decoder": str(base_folder())}, arms, Path(folder) / "study", settings, show=False)
            return done.verdict | {"effects": done.run.lines("effects")}


@dataclass(frozen=True)
class FiveTasks(Experiment):
    """Base of the experiments that read the study; it runs once for all of them."""

    sizes: ClassVar = {
        "quick": {"rows": 48, "repeated": ((4, 3), (8, 1)), "measured": 16, "calibration": 40, "epochs": 1}
    }

    rows: int = 240
    """Training rows per task."""
    repeated: tuple[tuple[int, int], ...] = ((4, 10), (16, 5))
    """How often a row stands in the training data, and how many such rows there are."""
    measured: int = 50
    """Rows per task and side that are measured."""
    calibration: int = 150
    epochs: int = 4
    batch_size: int = 8

    def arms(self) -> dict[str, None]:
        """One: the study has arms of its own."""
        return {ARM: None}

    def train(self, arm: None, shared: None, seed: int) -> dict[str, Any]:
        """The study."""
        return Study(seed, **asdict(self), code=code_hash(__name__)).verdict()


def contrast(study: dict[str, Any], name: str) -> Figure:
    """The contrast of that name: summarization and dialogue minus QA, translation and sentiment."""
    (line,) = [line for line in study["contrasts"] if line["name"] == name]
    unit = "nats" if line["metric"] == "nats" else "share"
    if line["value"] is None:
        return Figure(float("nan"), unit=unit, kind="difference")
    return difference(line["value"], Interval(line["low_end"], line["high_end"]), unit=unit)


def _save(study: dict[str, Any], folder: Path) -> None:
    (folder / "verdict.json").write_text(json.dumps(study), encoding="utf-8")
