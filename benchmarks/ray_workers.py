"""Two Ray workers against one process: the same audit in turns, and the files compared.

    python benchmarks/ray_workers.py DATA MODEL [--rows N] [--pairs N]

DATA: rows as for `remanence audit`; MODEL: its folder. Every process counts with one thread. Two Ray nodes of one CPU
each are started on this machine; their workers open the model before the clock starts, and the time of that is told.
On a busy machine the clock says little, so CPU time is told as well: that of the one process, and that of the busiest
worker, which is what the clock would say if every worker had a core to itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "TOKENIZERS_PARALLELISM": "false"}

import torch

from remanence.core.executor import Serial
from remanence.core.read import records_from
from remanence.distributed.ray import RayExecutor
from remanence.engine.opening import TargetRecipe, by_role, open_targets
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings


@dataclass
class Timed:
    """An executor, and the seconds spent in it: the passes and the asking, with the writing of the shards."""

    executor: Any
    seconds: float = 0.0
    cpu: Counter[int] = field(default_factory=Counter)
    """Process -> CPU seconds of its work."""

    def map(self, opens: Callable[[], Any], work: Any, tasks: Iterable[Any]) -> Generator[Any]:
        begun = time.perf_counter()
        for task, (result, process, seconds) in self.executor.map(opens, partial(clocked, work), tasks):
            self.cpu[process] += seconds
            yield task, result
        self.seconds += time.perf_counter() - begun


def clocked(work: Any, opened: Any, task: Any) -> tuple[Any, int, float]:
    """The result of the work, who did it, and its CPU seconds."""
    begun = time.process_time()
    result = work(opened, task)
    return result, os.getpid(), time.process_time() - begun


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def main(data: Path, model: Path, rows: int, pairs: int, work: Path) -> None:
    torch.set_num_threads(1)
    settings = AuditSettings(device="cpu", shard_rows=8)
    records = records_from(data, group="train")[:rows]
    tuned, _ = open_targets(model, None, settings)
    recipe = TargetRecipe.of(model, None, settings, False, by_role(tuned, None))

    def audit(name: str, executor: Any, some: Any = records) -> tuple[float, float]:
        """Seconds of the passes and the asking, and CPU seconds of the busiest process that did them."""
        timed = Timed(executor)
        run_audit(tuned, some, None, None, work / name, settings, show=False, executor=timed, opens=recipe)
        return timed.seconds, max(timed.cpu.values())

    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    cluster.add_node(**size)
    found: list[tuple[float, float]] = []
    with RayExecutor(2, cluster.address) as ray:
        opening, _ = audit("warm-ray", ray, records[:32])
        audit("warm-serial", Serial(), records[:32])
        print(f"{len(records)} rows; workers ready after {opening:.0f} s; load {os.getloadavg()[0]:.1f}", flush=True)
        for turn in range(pairs):
            one, two = audit(f"serial-{turn}", Serial()), audit(f"ray-{turn}", ray)
            same = files(work / f"serial-{turn}") == files(work / f"ray-{turn}")
            found.append((one[0] / two[0], one[1] / two[1]))
            print(
                f"turn {turn}: one process {one[0]:.1f} s, two workers {two[0]:.1f} s, ratio {found[-1][0]:.2f}; "
                f"CPU of the process {one[1]:.1f} s, of the busiest worker {two[1]:.1f} s, ratio {found[-1][1]:.2f}; "
                f"files {'equal' if same else 'DIFFER'}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    cluster.shutdown()
    clock, cpu = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"median ratio of the passes and the asking: {clock:.2f} by the clock, {cpu:.2f} by CPU time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        main(given.data, given.model, given.rows, given.pairs, Path(folder))
