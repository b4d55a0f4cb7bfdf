"""Worker processes on this machine, for tasks that are independent and need no more than one core each."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from remanence.core.errors import RemanenceError

Opened = TypeVar("Opened")
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """An executor with this many processes. They are started anew (spawned), one torch thread each."""

    workers: int

    def map(
        self, opens: Callable[[], Opened], work: Callable[[Opened, Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result]]:
        """As `Executor.map`. An error in a worker is raised here, and the other workers are stopped."""
        source = iter(tasks)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.workers, context, initializer=_open, initargs=(opens,))
        given: dict[Future[Any], Task] = {}
        try:
            given |= {pool.submit(_do, work, task): task for task in islice(source, self.workers)}
            while given:
                done, _ = wait(given, return_when=FIRST_COMPLETED)
                for future in done:
                    task, result = given.pop(future), future.result()
                    given |= {pool.submit(_do, work, new): new for new in islice(source, 1)}
                    yield task, result
        except BrokenProcessPool as error:
            raise RemanenceError(
                "A worker process died, probably for want of memory: give fewer --workers, or check what the first "
                "task does in this process (--workers 1)."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_opened: list[Any] = []
"""What this worker has opened."""


def _open(opens: Callable[[], Any]) -> None:
    import torch

    torch.set_num_threads(1)
    _opened[:] = [opens()]


def _do(work: Callable[[Any, Any], Any], task: Any) -> Any:
    return work(_opened[0], task)
