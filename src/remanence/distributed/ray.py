"""Ray executor: tasks on the machines of a cluster, one model per worker, on CPUs or GPUs.

Every worker opens the model by name once and receives rows; its results are sent back and written here, so
machines need not share a disk for the data or the run. Workers count with as many threads as this process would, which
makes their sums, and so the files, the very same.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import os
import socket
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import TracebackType
from typing import Any, TypeVar

from remanence.core.errors import RemanenceError
from remanence.distributed.pool import Failed, Lost, Pool

Opened = TypeVar("Opened")
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass
class RayExecutor:
    """An `Executor` over a Ray cluster. Use it in a `with` block, or call `close`: workers hold models in memory."""

    workers: int | None = None
    """How many workers; None = as many as the cluster has room for."""
    address: str | None = None
    """HOST:PORT of a cluster, or auto for the one on this machine; None = RAY_ADDRESS, or a new one of this machine."""
    cpus_per_worker: float | None = None
    """None = the threads of this process, or the cores of the largest machine if those are fewer."""
    gpus_per_worker: float | None = None
    """None = 1 where the cluster has GPUs; more than a machine has = all of a machine."""
    patience: float = 300.0
    """Seconds to wait for a first worker; a cluster that grows by itself may need minutes."""
    _pool: Pool | None = field(default=None, init=False, repr=False)
    _opens: Any = field(default=None, init=False, repr=False)
    _ours: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise RemanenceError(f"--workers must be at least 1, got {self.workers}.")
        if importlib.util.find_spec("ray") is None:
            raise RemanenceError("--executor ray needs Ray: pip install 'remanence[ray]', on every machine.")

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the workers go, and the cluster too if it was started here."""
        if self._pool is not None:
            self._pool.close()
            self._pool = self._opens = None
        if self._ours:
            _ray().shutdown()
            self._ours = False

    def map(
        self, opens: Callable[[], Opened], work: Callable[[Opened, Task], Result], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Result]]:
        """As `Executor.map`. Workers stay open for the next call with the same `opens`.

        A worker that dies is replaced and its tasks are handed out again; what came back is not. Raises
        `RemanenceError` when a worker cannot do a task, or three of them die over it.
        """
        source = iter(tasks)
        for first in source:  # nothing is started without a task
            pool = self._pool_for(opens)
            pool.crew.work = work  # pyright: ignore[reportAttributeAccessIssue]
            yield from pool.work_through(chain([first], source), lambda task: str(getattr(task, "name", "a task")))

    def _pool_for(self, opens: Callable[[], Any]) -> Pool:
        if self._pool is None or self._opens != opens:
            if self._pool is not None:
                self._pool.close()
            threads = _torch_threads()
            self._ours |= connect(self.address, (self.workers or 1) * threads)
            machines = _machines()
            cpus = min(float(threads) if self.cpus_per_worker is None else self.cpus_per_worker, _most(machines, "CPU"))
            gpus = min(1.0 if self.gpus_per_worker is None else self.gpus_per_worker, _most(machines, "GPU"))
            size = self.workers or max(1, sum(_room(machine, cpus, gpus) for machine in machines))
            self._pool = Pool(RayCrew(opens, threads, cpus, gpus), size, self.patience)
            self._opens = opens
        return self._pool


class RayCrew:
    """Workers as Ray actors. A ticket is the reference of a call."""

    work: Any = None

    def __init__(self, opens: Callable[[], Any], threads: int, cpus: float, gpus: float) -> None:
        self.opens = _ray().put(opens)
        self.threads = threads
        self.greetings: dict[Any, Any] = {}
        actor: Any = _ray().remote(Worker)
        self.actor = actor.options(num_cpus=cpus, num_gpus=gpus, max_restarts=0, scheduling_strategy="SPREAD")
        self.needs = f"each needs {cpus:g} CPU{'s' * (cpus != 1)} and {gpus:g} GPU{'s' * (gpus != 1)} of one machine"

    def hire(self) -> tuple[Any, Any]:
        worker = self.actor.remote(self.threads)
        self.greetings[worker] = worker.greet.remote()
        return worker, worker.open.remote(self.opens)

    def came(self, worker: Any) -> bool:
        return self.first([self.greetings[worker]], 0.0) is not None

    def give(self, worker: Any, task: Any) -> Any:
        return worker.do.remote(self.work, task)

    def first(self, tickets: Sequence[Any], seconds: float | None) -> Any | None:
        ready, _ = _ray().wait(list(tickets), num_returns=1, timeout=seconds, fetch_local=False)
        return ready[0] if ready else None

    def result(self, ticket: Any) -> Any:
        errors = importlib.import_module("ray.exceptions")
        try:
            return _ray().get(ticket)
        except errors.RayTaskError as error:  # not of the work, whose errors are sent back: of what it was sent
            raise RemanenceError(
                f"A worker cannot take or give back its work ({_line(error.cause or error)}): "
                "install the same remanence on every machine."
            ) from error
        except errors.RayError as error:
            raise Lost(_line(error)) from error

    def dismiss(self, worker: Any) -> None:
        self.greetings.pop(worker, None)
        _ray().kill(worker)


class Worker:
    """What runs in each actor: the model, opened once, and the work on it."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.opened: Any = None

    def greet(self) -> None:
        """Say that there is a place to work at."""

    def open(self, opens: Callable[[], Any]) -> Failed | None:
        """Open the model."""
        try:
            self.opened = opens()
        except RemanenceError as error:
            return Failed(f"The worker on {socket.gethostname()} cannot open the model: {error}")
        except Exception as error:
            return _failure(error, "cannot open the model")
        return None

    def do(self, work: Callable[[Any, Any], Any], task: Any) -> Any:
        """One task; what goes wrong is told, not raised."""
        try:
            return work(self.opened, task)
        except RemanenceError as error:
            return Failed(str(error))
        except Exception as error:
            return _failure(error, f"cannot do {getattr(task, 'name', 'a task')}")


def connect(address: str | None, cpus: int) -> bool:
    """Whether Ray was joined or started here, and so is to be left again; an earlier `ray.init` is used as it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if _ray().is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _require_listener(address)
    size = {"num_cpus": max(cpus, os.cpu_count() or 1), "include_dashboard": False} if address == "local" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on what Ray will change one day
            _ray().init(address=address, logging_level=logging.ERROR, log_to_driver=False, **size)
    except Exception as error:  # Ray raises many kinds, and plain `Exception` too
        what = "start" if address == "local" else f"be joined at {address}"
        raise RemanenceError(f"Ray could not {what} ({_line(error)}): check --ray-address, or try again.") from error
    return True


def _require_listener(address: str) -> None:
    """Say at once that nobody answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.removeprefix("ray://"), int(port)), timeout=10).close()
    except OSError as error:
        raise RemanenceError(f"There is no Ray cluster at {address} ({_line(error)}): check --ray-address.") from None


def _ray() -> Any:
    """Ray, loaded when it is first needed."""
    return importlib.import_module("ray")


def _machines() -> list[dict[str, float]]:
    return [node["Resources"] for node in _ray().nodes() if node["Alive"]]


def _most(machines: Sequence[dict[str, float]], resource: str) -> float:
    return max((machine.get(resource, 0.0) for machine in machines), default=0.0)


def _room(machine: dict[str, float], cpus: float, gpus: float) -> int:
    """How many workers a machine has room for."""
    fits = [machine.get(name, 0.0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each]
    return math.floor(min(fits, default=0))


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _failure(error: Exception, what: str) -> Failed:
    trace = traceback.format_exc()
    return Failed(f"The worker on {socket.gethostname()} {what}: {type(error).__name__}: {_line(error)}", trace)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
