"""Executors by name: `serial` works in this process, `ray` on the machines of a cluster."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Mapping
from typing import TypeAlias

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.target import Target

OpenTargets: TypeAlias = Callable[[], Mapping[str, Target]]
"""Opens the targets of a run by role, such as tuned and base."""


@contextlib.contextmanager
def open_executor(
    executor: str | Executor, workers: int | None = None, ray_address: str | None = None, device: str = "auto"
) -> Generator[Executor]:
    """The executor of this name, closed at the end; an executor given as an object is left open."""
    if not isinstance(executor, str):
        yield executor
        return
    if executor not in {"serial", "ray"}:
        raise RemanenceError(f"--executor is one of serial, ray, got {executor!r}.")
    if executor == "serial":
        if workers is not None or ray_address is not None:
            raise RemanenceError("--workers and --ray-address need --executor ray.")
        yield Serial()
        return
    from remanence.distributed.ray import RayExecutor

    gpus = {"cpu": 0.0, "map": math.inf}.get(device)
    with RayExecutor(workers, ray_address, gpus_per_worker=gpus) as opened:
        yield opened


def openable_by(executor: Executor, targets: Mapping[str, Target], open_targets: OpenTargets | None) -> OpenTargets:
    """How the workers of an executor open the targets; in this process, the ones that are open already.

    Raises `RemanenceError` when other processes would have no way to open them.
    """
    if isinstance(executor, Serial):
        return lambda: targets
    if open_targets is None:
        name = next(iter(targets.values())).name
        raise RemanenceError(
            f"Workers open the model themselves, so {name} cannot be handed over as an object: "
            "pass the folder or Hub name of every model, or use --executor serial."
        )
    return open_targets
