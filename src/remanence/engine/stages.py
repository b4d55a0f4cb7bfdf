"""Stages: the parts of a job that write tables. What has been written is not computed again, so that a run that was
interrupted resumes to the same bytes.

A stage writes whole tables; a sharded stage writes one or more tables per shard, computed by an executor and written by
this process as they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from remanence.core.executor import Executor
from remanence.core.progress import tracks
from remanence.core.run import Run

Opened = TypeVar("Opened")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stage:
    """A part of a job and the files that it writes, the last one last."""

    name: str
    files: tuple[str, ...]
    work: Callable[[], None]


def run_stages(run: Run, stages: Sequence[Stage]) -> None:
    """Run the stages in order, without those whose files are all there."""
    for stage in stages:
        if not all(run.has(file) for file in stage.files):
            stage.work()
            missing = [file for file in stage.files if not run.has(file)]
            assert not missing, f"stage {stage.name} did not write {missing}"


class ShardTask(Protocol):
    """A shard of a table that is still to be computed."""

    @property
    def bar(self) -> Any:
        """Key of the progress bar that it belongs to."""
        ...

    @property
    def size(self) -> int:
        """Number of rows by which the bar advances."""
        ...

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it writes, without `.parquet`."""
        ...


Task = TypeVar("Task", bound=ShardTask)


def run_shards(
    run: Run,
    tasks: Iterable[Task],
    open_: Callable[[], Opened],
    work: Callable[[Opened, Task], Result],
    write: Callable[[Task, Result], None],
    executor: Executor,
    bars: Mapping[Any, tuple[str, int]],
    *,
    show: bool,
) -> None:
    """Compute the shards whose tables are not all there, and write each as soon as it is done.

    `open_` and `work`: see `Executor.map`. `write` writes the tables of a shard. `bars`: key -> (label, rows).
    """
    with tracks(bars, show=show) as advance:

        def missing() -> Iterator[Task]:
            for task in tasks:
                if all(run.has(f"{table}.parquet") for table in task.tables):
                    advance(task.bar, task.size)
                else:
                    yield task

        for task, result in executor.map(open_, work, missing()):
            write(task, result)
            advance(task.bar, task.size)
