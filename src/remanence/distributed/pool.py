"""Worker pool: tasks of workers that die are run again; finished tasks are not.

The pool knows nothing of how workers are made or reached; that is the crew's part (for Ray, `distributed.ray`). A
worker that has opened its model holds two tasks, one in work and one waiting, so that it is never idle; only so many
tasks are ever taken from the run, whatever the size of the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from remanence.core.errors import RemanenceError

Task = TypeVar("Task")
DEPTH = 2
"""Tasks that a worker holds at most."""
STRIKES = 3
"""A task during which so many workers died is not tried again; nor is a worker that died so often while starting."""


class Lost(Exception):
    """The worker is gone: its process, or the machine that it ran on."""


@dataclass(frozen=True)
class Failed:
    """What a worker sends back in place of a result that it could not make."""

    sentence: str
    """One sentence: what is wrong, where, and what to do about it."""
    trace: str = ""
    """The worker's own traceback, for an error that is not a `RemanenceError`."""


class Crew(Protocol):
    """Creation of workers and communication with them. Workers and tickets are hashable."""

    needs: str
    """What a worker needs and what there is, for the sentence that says why none comes."""

    def hire(self) -> tuple[Any, Any]:
        """A new worker, and the ticket that is returned when it has opened the model."""
        ...

    def came(self, worker: Any) -> bool:
        """Whether a worker that was hired has a place to work at; it may still be opening the model."""
        ...

    def give(self, worker: Any, task: Any) -> Any:
        """Send a task to a worker; the ticket is returned with the result. A worker runs its tasks in order."""
        ...

    def first(self, tickets: Sequence[Any], seconds: float | None) -> Any | None:
        """The first of the tickets that is back; None when none is after so many seconds."""
        ...

    def result(self, ticket: Any) -> Any:
        """What came back with a ticket. Raises `Lost`."""
        ...

    def dismiss(self, worker: Any) -> None:
        """Let a worker go, alive or not."""
        ...


@dataclass(eq=False)
class _Piece(Generic[Task]):
    """A task on its way, and how many workers died over it."""

    task: Task
    strikes: int = 0


@dataclass
class Pool:
    """So many workers of a crew, kept from one round of tasks to the next; one round at a time."""

    crew: Crew
    size: int
    patience: float = 300.0
    """Seconds to wait for a place for a worker while there is none; opening the model may take as long as it takes."""
    _starting: dict[Any, Any] = field(default_factory=dict[Any, Any])
    """Ticket -> worker that is opening the model."""
    _holds: dict[Any, list[Any]] = field(default_factory=dict[Any, list[Any]])
    """Worker that is ready -> its tickets, the one in work first."""
    _given: dict[Any, tuple[Any, _Piece[Any]]] = field(default_factory=dict[Any, tuple[Any, _Piece[Any]]])
    """Ticket -> (worker, task)."""
    _queue: deque[_Piece[Any]] = field(default_factory=deque[_Piece[Any]])
    """Tasks that are taken, or taken back, and not given."""
    _failed_starts: int = 0

    def work_through(self, tasks: Iterable[Task], name_of: Callable[[Task], str]) -> Generator[tuple[Task, Any]]:
        """(task, result) of every task, in order of completion. Raises `RemanenceError` if one fails.

        When the caller stops early, or a task fails, the workers are let go: what they are at is of no use.
        """
        source = iter(tasks)
        finished = False
        try:
            self._hand_out(source)
            while self._given or self._queue:
                ticket = self._first_back()
                if ticket in self._starting:
                    self._started(ticket)
                    self._hand_out(source)
                    continue
                done = self._collect(ticket, name_of)
                self._hand_out(source)  # the worker goes on while the result is written
                if done is not None:
                    yield done
            finished = True
        finally:
            if not finished:
                self.close()

    def close(self) -> None:
        """Let all workers go."""
        for worker in [*self._starting.values(), *self._holds]:
            self.crew.dismiss(worker)
        for state in (self._starting, self._holds, self._given, self._queue):
            state.clear()
        self._failed_starts = 0

    def _hand_out(self, source: Iterator[Any]) -> None:
        """Fill the hands of the workers that are ready; for what is left, as many new workers as there may be."""
        while self._take(source, 1):
            worker = min(self._holds, key=lambda w: len(self._holds[w]), default=None)
            if worker is None or len(self._holds[worker]) >= DEPTH:
                break
            piece = self._queue.popleft()
            ticket = self.crew.give(worker, piece.task)
            self._holds[worker].append(ticket)
            self._given[ticket] = worker, piece
        vacant = self.size - len(self._holds) - len(self._starting)
        wanted = self._take(source, vacant + len(self._starting)) - len(self._starting) if vacant else 0
        if self._failed_starts < STRIKES:
            for _ in range(min(vacant, wanted)):
                worker, ticket = self.crew.hire()
                self._starting[ticket] = worker

    def _take(self, source: Iterator[Any], count: int) -> int:
        """How many tasks are waiting, after taking more from the source until there are `count`."""
        while len(self._queue) < count:
            for task in source:
                self._queue.append(_Piece(task))
                break
            else:
                break
        return len(self._queue)

    def _first_back(self) -> Any:
        tickets = [*self._given, *self._starting]
        if not (self._holds or self._given):
            ticket = self.crew.first(tickets, self.patience)
            if ticket is not None:
                return ticket
            if not any(self.crew.came(worker) for worker in self._starting.values()):
                raise RemanenceError(
                    f"No worker found a place in {self.patience:.0f} seconds: {self.crew.needs}; ask for smaller "
                    "workers, or add machines."
                )
        return self.crew.first(tickets, None)

    def _started(self, ticket: Any) -> None:
        worker = self._starting.pop(ticket)
        try:
            answer = self.crew.result(ticket)
        except Lost as lost:
            self.crew.dismiss(worker)
            self._failed_starts += 1
            if self._failed_starts >= STRIKES and not (self._holds or self._starting):
                raise RemanenceError(
                    f"{STRIKES} workers died while they opened the model ({lost}): check that it fits into the memory "
                    "of a worker, and that remanence is installed on every machine."
                ) from lost
            return
        _raise(answer)
        self._failed_starts = 0
        self._holds[worker] = []

    def _collect(self, ticket: Any, name_of: Callable[[Any], str]) -> tuple[Any, Any] | None:
        """(task, result); None when the worker is lost, and the task back in the queue."""
        worker, piece = self._given.pop(ticket)
        tickets = self._holds.get(worker, [])
        try:
            result = self.crew.result(ticket)
        except Lost as lost:
            self._queue.appendleft(piece)
            if worker in self._holds:  # the first to be heard of it; the task in work is the one to blame
                at = piece if tickets[0] == ticket else self._given[tickets[0]][1]
                del self._holds[worker]
                self.crew.dismiss(worker)
                self._failed_starts = 0
                at.strikes += 1
                if at.strikes >= STRIKES:
                    raise RemanenceError(
                        f"{STRIKES} workers died over {name_of(at.task)} ({lost}): give a worker more memory, or lower "
                        "--batch-tokens."
                    ) from lost
            return None
        if tickets:
            tickets.remove(ticket)
        _raise(result)
        return piece.task, result


def _raise(answer: Any) -> None:
    if isinstance(answer, Failed):
        raise RemanenceError(answer.sentence) from (RuntimeError(answer.trace) if answer.trace else None)
