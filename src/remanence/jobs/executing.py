"""From a word to an executor: `serial` is this process, `ray` the machines of a cluster."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial


@contextlib.contextmanager
def executing(
    executor: str | Executor, workers: int | None = None, ray_address: str | None = None, device: str = "auto"
) -> Generator[Executor]:
    """The executor, for as long as it is needed. One that was handed over as an object stays the caller's to close."""
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
    with RayExecutor(workers, ray_address, gpus_per_worker=gpus) as made:
        yield made
