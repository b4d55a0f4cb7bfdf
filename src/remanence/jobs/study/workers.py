"""Runs the units of a study: one after the other, in processes of this machine, or by an executor such as Ray's.

A unit is a base model on the rows of a task and seed, or an arm. In this machine's processes a unit writes into the run
folder itself; a worker of an executor is sent the files that the unit reads, and returns the files that it writes, so
machines need not share a disk. Every unit computes with one thread, so that the figures do not depend on how many run
side by side.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from remanence.core.executor import Executor
from remanence.core.progress import track
from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.settings import StudySettings


@dataclass(frozen=True)
class Unit:
    """A base model or an arm, with everything that is needed to run it."""

    kind: Literal["base", "arm"]
    arm: Arm
    model: str
    """Folder or Hub name of the base model."""
    settings: StudySettings
    keep_models: bool = False

    @property
    def place(self) -> str:
        """Where its files are in the run folder."""
        return f"bases/{self.arm.base_slug}" if self.kind == "base" else f"arms/{self.arm.slug}"

    @property
    def inputs(self) -> list[str]:
        """The files of the run folder that it reads."""
        rows = [f"data/{self.arm.data_slug}.parquet", f"data/{self.arm.data_slug}.json"]
        return rows if self.kind == "base" else [*rows, f"bases/{self.arm.base_slug}/texts.parquet"]

    def run(self, folder: Path) -> None:
        """Run it in this process, with one thread; skipped where its results are there."""
        import torch

        from remanence.jobs.study.unit import run_arm, run_base

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            if self.kind == "base":
                run_base(Run(folder), self.arm, self.model, self.settings)
            else:
                run_arm(Run(folder), self.arm, self.model, self.settings, keep_models=self.keep_models)
        finally:
            torch.set_num_threads(before)


def run_units(
    run: Run, label: str, units: Sequence[Unit], *, workers: int = 1, executor: Executor | None = None, show: bool
) -> None:
    """Run all units: by the executor if there is one, else in so many processes. `label`: name of the progress bar."""
    with track(label, len(units), show=show) as advance:
        if executor is not None:
            waiting = [unit for unit in units if not run.has(f"{unit.place}/outcomes.parquet")]
            advance(len(units) - len(waiting))
            packed = (PackedUnit.of(unit, run.folder) for unit in waiting)
            for _, files in executor.map(_no_model, run_packed, packed):
                _write(files, run.folder)
                advance(1)
        elif workers <= 1:
            for unit in units:
                unit.run(run.folder)
                advance(1)
        else:
            _run_in_processes(run.folder, units, workers, advance)


def _run_in_processes(folder: Path, units: Sequence[Unit], workers: int, advance: Callable[[int], None]) -> None:
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        waiting = [pool.submit(unit.run, folder) for unit in units]
        try:
            for done in as_completed(waiting):
                done.result()
                advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """End this worker when the study is killed: otherwise it would still write while another process resumes."""
    parent = parent_process()
    assert parent is not None

    def wait_for_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


# ------------------------------------------------------------------ executors


@dataclass(frozen=True)
class PackedUnit:
    """A unit with the content of the files that it reads."""

    unit: Unit
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, unit: Unit, folder: Path) -> PackedUnit:
        """Read its files from the run folder."""
        return cls(unit, {name: (folder / name).read_bytes() for name in unit.inputs})


def run_packed(opened: None, packed: PackedUnit) -> dict[str, bytes]:
    """Run a unit in a temporary folder; returns the content of the files that it wrote, by name in the run folder."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write(packed.files, folder)
        packed.unit.run(folder)
        written = sorted(path for path in (folder / packed.unit.place).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder, each completely or not at all; last `outcomes.parquet`, which marks a unit as done."""
    for name in sorted(files, key=lambda name: (name.endswith("/outcomes.parquet"), name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(files[name])
        part.replace(path)


def _no_model() -> None:
    """Nothing is opened in advance: each unit opens its own model."""
