"""A script for `test_two_nodes.py`: audits on a Ray cluster of two nodes, one of which loses a worker, or everything.

It runs in a process of its own, because Ray leaves threads behind and warns of its own future. Workers and this
process keep a common trail: [begun or written, what, role, first row, process, node]. Everything is on one disk here,
which only the trail makes use of. Usage: on_two_nodes.py MODEL BASE WORK
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_health_check_period_ms": "500", "RAY_DEDUP_LOGS": "0"}
os.environ |= {"RAY_health_check_failure_threshold": "2", "RAY_health_check_timeout_ms": "1000"}
os.environ |= {"RAY_health_check_initial_delay_ms": "0"}

import torch
from memorizers import LEARNED, UNSEEN

from remanence.core.executor import Serial
from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.target import Answer, Prompt
from remanence.distributed.ray import RayExecutor
from remanence.engine.opening import TargetRecipe, by_role, open_targets
from remanence.engine.token_pass import Shard
from remanence.jobs.audit import attempts
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.huggingface import HuggingFace

SETTINGS = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=2, schemes=("T=1",), generate="all", dtype="float32")
attempts.BATCH = 3
TRAIN = [replace(r, id=f"row-{i}") for i, r in enumerate([*LEARNED, *UNSEEN[:4]])]
HELD = UNSEEN[5:]


@dataclass
class Watched(HuggingFace):
    """A model that notes in the trail what it is asked, and kills its process at the shard that is fatal now."""

    work: Path = Path()
    role: str = ""

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        note(self.work, "begun", "score", self.role, records[0].id)
        scored = super().score(records, columns)
        yield next(scored)
        self.die("score", records[0].id)  # in the middle of a shard
        yield from scored

    def generate(self, prompts: Sequence[Prompt], *more: Any, **named: Any) -> list[Answer]:
        if len(prompts) > 1:  # a shard, not a second look
            note(self.work, "begun", "ask", self.role, prompts[0].record_id)
            self.die("ask", prompts[0].record_id)
        return super().generate(prompts, *more, **named)

    def die(self, what: str, record: str) -> None:
        died = self.work / "trails" / f"{now(self.work)['name']}.died"
        fatal = now(self.work)["fatal"]
        if fatal and f"{what} {record}".startswith(fatal) and self.role == "tuned" and not died.exists():
            died.write_text(json.dumps([what, self.role, record, os.getpid()]))
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class WatchedRecipe:
    """A recipe whose models are watched."""

    recipe: TargetRecipe
    work: Path

    def __call__(self) -> dict[str, Any]:
        return {role: Watched(**vars_of(target), work=self.work, role=role) for role, target in self.recipe().items()}


def vars_of(target: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(target).items() if not name.startswith("_")}


@dataclass
class Followed:
    """An executor that notes what was written, and has something happen after so many results."""

    executor: Any
    work: Path
    after: int = 0
    happens: Callable[[], None] = lambda: None
    count: int = 0

    def map(self, opens: Any, work: Any, tasks: Iterable[Any]) -> Generator[Any]:
        for task, result in self.executor.map(opens, work, tasks):
            self.count += 1
            if self.count == self.after:
                self.happens()
            yield task, result
            note(self.work, "written", "score" if isinstance(task, Shard) else "ask", task.role, task.records[0].id)


def note(work: Path, *what: str) -> None:
    """One line in the trail of the audit that runs now, appended whole whoever else is writing."""
    with (work / "trails" / f"{now(work)['name']}.jsonl").open("a") as file:
        file.write(json.dumps([*what, os.getpid(), node()]) + "\n")


def now(work: Path) -> dict[str, str]:
    """Which audit runs, and which shard is fatal."""
    return json.loads((work / "now.json").read_text())


def main(model: str, base: str, work: Path) -> None:
    torch.set_num_threads(1)
    tuned, below = open_targets(model, base, SETTINGS)
    recipe = TargetRecipe.of(model, base, SETTINGS, False, by_role(tuned, below))
    assert recipe is not None

    (work / "trails").mkdir()
    opens = WatchedRecipe(recipe, work)  # the same for all, so that workers stay open from one audit to the next

    def audit(name: str, executor: Any, fatal: str = "", resume: bool = False, **event: Any) -> None:
        (work / "now.json").write_text(json.dumps({"name": name, "fatal": fatal}))
        run_audit(
            tuned, TRAIN, HELD, below, work / name, SETTINGS, show=False, resume=resume,
            executor=Followed(executor, work, **event), opens=opens,
        )  # fmt: skip

    def half(name: str, executor: Any) -> None:
        """Begin an audit, and stop it when four shards are written."""
        with contextlib.suppress(Stop):
            audit(name, executor, after=5, happens=stop)
        assert len(list((work / name / "tokens").iterdir())) == 4

    audit("serial", Serial())

    import ray
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    second = cluster.add_node(**size)
    try:
        with RayExecutor(address=cluster.address) as executor:
            audit("ray", executor)
            audit("killed-scoring", executor, fatal="score row-4")
            audit("killed-asking", executor, fatal="ask")
            half("from-serial", Serial())
            audit("from-serial", executor, resume=True)
            half("from-ray", executor)
            audit("from-ray", Serial(), resume=True)
            audit("node-gone", executor, after=3, happens=lambda: remove(cluster, second, work))
    finally:
        ray.shutdown()
        cluster.shutdown()


def remove(cluster: Any, second: Any, work: Path) -> None:
    """Take a node away, and wait until its workers, which answer on for a while, are gone too."""
    cluster.remove_node(second, allow_graceful=False)
    lines = [json.loads(line) for line in (work / "trails" / "node-gone.jsonl").read_text().splitlines()]
    pids = {pid for event, *_, pid, place in lines if event == "begun" and place == second.node_id}
    until = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until, "workers outlive their node"
        time.sleep(0.1)
    note(work, "gone", second.node_id)


class Stop(Exception):
    """In the middle."""


def stop() -> None:
    """Stop in the middle."""
    raise Stop


def node() -> str:
    """Where this process is."""
    ray = sys.modules.get("ray")
    return ray.get_runtime_context().get_node_id() if ray is not None and ray.is_initialized() else "here"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
