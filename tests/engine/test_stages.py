"""Stages and shards: what is written is not computed again, and a run that is interrupted anywhere ends the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from remanence.core.executor import Serial
from remanence.core.run import Run
from remanence.engine.stages import Stage, run_shards, run_stages

NUMBERS = list(range(10))


class Interrupted(Exception):
    """The process died here."""


class FragileRun(Run):
    """A run that dies before or after its Nth write."""

    writes_left = 1 << 30
    after = False

    @contextmanager
    def _place(self, name: str) -> Iterator[Path]:
        self.writes_left -= 1
        if self.writes_left < 0 and not self.after:
            with super()._place(name) as part:
                part.write_bytes(b"half a fi")
                raise Interrupted(name)
        with super()._place(name) as part:
            yield part
        if self.writes_left < 0:
            raise Interrupted(name)


@dataclass(frozen=True)
class Squares:
    """Two numbers to square."""

    index: int
    numbers: list[int]

    bar = "squares"

    @property
    def tables(self) -> tuple[str, ...]:
        return f"squares/{self.index:05d}", f"roots/{self.index:05d}"

    @property
    def size(self) -> int:
        return len(self.numbers)


class ToyJob:
    """Squares numbers in shards, adds the squares up, and says the sum."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    def __call__(self, run: Run) -> None:
        stages = [
            Stage("squares", ("squares.parquet",), lambda: self.squares(run)),
            Stage("sum", ("low.json", "sum.json"), lambda: self.sum(run)),
            Stage("verdict", ("verdict.json",), lambda: self.verdict(run)),
        ]
        run_stages(run, stages)

    def squares(self, run: Run) -> None:
        tasks = [Squares(i, NUMBERS[2 * i : 2 * i + 2]) for i in range(5)]

        def write(task: Squares, squares: list[int]) -> None:
            for name, values in zip(task.tables, (squares, task.numbers), strict=True):
                run.write_table(name, pa.table({"value": values}))

        run_shards(run, tasks, dict, self.work, write, Serial(), {"squares": ("squares", 10)}, show=False)
        parts = [run.read_table(f"squares/{i:05d}") for i in range(5)]
        run.write_table("squares", pa.concat_tables(parts).combine_chunks())

    def work(self, opened: dict[Any, Any], task: Squares) -> list[int]:
        self.computed.append(f"shard {task.index}")
        return [n * n for n in task.numbers]

    def sum(self, run: Run) -> None:
        self.computed.append("sum")
        values = run.read_table("squares")["value"].to_pylist()
        run.write_json("low.json", min(values))
        run.write_json("sum.json", sum(values))

    def verdict(self, run: Run) -> None:
        self.computed.append("verdict")
        run.write_json("verdict.json", {"sum": run.read_json("sum.json")})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Run.begin(tmp_path_factory.mktemp("toy") / "whole", {"job": "toy"})
    ToyJob()(run)
    return run.folder


def test_the_job_gives_the_sum_of_the_squares(whole: Path):
    assert Run.open(whole).read_json("verdict.json") == {"sum": 285}


def test_a_finished_run_computes_nothing_again(whole: Path):
    before, job = files(whole), ToyJob()
    job(Run.begin(whole, {"job": "toy"}, resume=True))
    assert job.computed == [] and files(whole) == before


@pytest.mark.parametrize("after", [False, True], ids=["during", "after"])
@pytest.mark.parametrize("write", range(15))
def test_a_run_interrupted_at_any_write_resumes_to_the_same_bytes(
    whole: Path, tmp_path: Path, write: int, after: bool
) -> None:
    run = FragileRun(Run.begin(tmp_path / "run", {"job": "toy"}).folder)
    run.writes_left, run.after = write, after
    if write < 14:
        with pytest.raises(Interrupted):
            ToyJob()(run)
    else:
        ToyJob()(run)  # fourteen writes in all
    written = files(run.folder)
    resumed = ToyJob()
    resumed(Run.begin(tmp_path / "run", {"job": "toy"}, resume=True))
    assert files(run.folder) == files(whole)
    for shard in range(5):
        if {f"{table}.parquet" for table in Squares(shard, []).tables} <= written.keys():
            assert f"shard {shard}" not in resumed.computed


def test_a_stage_that_does_not_write_its_files_is_a_mistake(tmp_path: Path):
    run = Run.begin(tmp_path / "run", {"job": "toy"})
    with pytest.raises(AssertionError, match="stage nothing did not write"):
        run_stages(run, [Stage("nothing", ("never.json",), lambda: None)])
