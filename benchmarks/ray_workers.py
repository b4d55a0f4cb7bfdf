"""Two Ray workers against one process: the same audit in turns, and the files compared.

    python benchmarks/ray_workers.py DATA MODEL [--rows N] [--pairs N]

DATA: rows as for `remanence audit`; MODEL: its folder. Every process counts with one thread. Two Ray nodes of one CPU
each are started on this machine; their workers open the model before the clock starts, and the time of that is told.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "TOKENIZERS_PARALLELISM": "false"}

import torch

from remanence.core.executor import Serial
from remanence.core.read import records_from
from remanence.distributed.ray import RayExecutor
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.opening import Recipe, open_targets, roles


@dataclass
class Timed:
    """An executor, and the seconds spent in it: the passes and the asking, with the writing of the shards."""

    executor: Any
    seconds: float = 0.0

    def map(self, opens: Callable[[], Any], work: Any, tasks: Iterable[Any]) -> Generator[Any]:
        begun = time.perf_counter()
        yield from self.executor.map(opens, work, tasks)
        self.seconds += time.perf_counter() - begun


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def main(data: Path, model: Path, rows: int, pairs: int, work: Path) -> None:
    torch.set_num_threads(1)
    settings = AuditSettings(device="cpu", shard_rows=32)
    records = records_from(data, group="train")[:rows]
    tuned, _ = open_targets(model, None, settings)
    recipe = Recipe.of(model, None, settings, False, roles(tuned, None))

    def audit(name: str, executor: Any, some: Any = records) -> tuple[float, float]:
        timed, begun = Timed(executor), time.perf_counter()
        run_audit(tuned, some, None, None, work / name, settings, show=False, executor=timed, opens=recipe)
        return timed.seconds, time.perf_counter() - begun

    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    cluster.add_node(**size)
    found: list[tuple[float, float, float, float]] = []
    with RayExecutor(2, cluster.address) as ray:
        opening, _ = audit("warm-ray", ray, records[:64])
        audit("warm-serial", Serial(), records[:64])
        print(f"{len(records)} rows; workers ready after {opening:.0f} s; load {os.getloadavg()[0]:.1f}", flush=True)
        for turn in range(pairs):
            one = audit(f"serial-{turn}", Serial())
            two = audit(f"ray-{turn}", ray)
            same = files(work / f"serial-{turn}") == files(work / f"ray-{turn}")
            found.append((one[0], two[0], one[1], two[1]))
            print(
                f"turn {turn}: passes and asking {one[0]:.1f} s, two workers {two[0]:.1f} s ({one[0] / two[0]:.2f}); "
                f"whole audit {one[1]:.1f} s, {two[1]:.1f} s ({one[1] / two[1]:.2f}); "
                f"files {'equal' if same else 'DIFFER'}; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    cluster.shutdown()
    work_ratio = statistics.median(a / b for a, b, _, _ in found)
    whole_ratio = statistics.median(c / d for _, _, c, d in found)
    print(f"median speed-up: passes and asking {work_ratio:.2f}, whole audit {whole_ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        main(given.data, given.model, given.rows, given.pairs, Path(folder))
