"""Executor: runs the independent tasks of a job, in this process or in workers on other machines.

The run's own process distributes the tasks and writes their results, so a folder is the same with every executor, and
a piece that is written is never handed out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Opened = TypeVar("Opened")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs tasks with a resource that each worker opens once, such as a model."""

    def map(
        self, opens: Callable[[], Opened], work: Callable[[Opened, Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """(task, `work(opens(), task)`) of every task, in order of completion.

        Tasks are taken from the iterable as workers come free, not ahead of time. `opens` and `work` must be
        importable from other processes (a function of a module, or a `functools.partial` of one) unless the work is
        done here.
        """
        ...


class Serial:
    """Runs one task after the other in this process."""

    def map(
        self, opens: Callable[[], Opened], work: Callable[[Opened, Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """As `Executor.map`, in the order of the tasks; nothing is opened if there is no task."""
        opened: list[Opened] = []
        for task in tasks:
            if not opened:
                opened.append(opens())
            yield task, work(opened[0], task)
