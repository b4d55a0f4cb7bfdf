"""Runs experiments: every (seed, arm) is a task of its own, for this process, for several, or for a Ray cluster."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

from remanence.core.catalogue import entries
from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.verbs import Verdict
from remanence.engine.describe import versions
from remanence.engine.executors import open_executor
from remanence.replications.frame.experiment import Experiment
from remanence.replications.frame.figure import Row, to_json
from remanence.replications.frame.stored import LEAST_SEEDS, RESULTS, every, sentence
from remanence.training.tiny import one_thread


def experiment_names() -> list[str]:
    """Names of all experiments, as `remanence list` shows them."""
    return [entry.name for entry in entries() if entry.wing.startswith("replications")]


def find_experiment(name: str) -> type[Experiment]:
    """The experiment of that name. Raises `RemanenceError` with the valid names."""
    found = [entry for entry in entries() if entry.name == name and entry.wing.startswith("replications")]
    if not found:
        raise RemanenceError(f"No experiment is called {name!r}: choose one of {', '.join(experiment_names())}.")
    module = importlib.import_module(f"remanence.{found[0].wing.replace('/', '.')}.{name}")
    return getattr(module, found[0].cls)


class Opened:
    """An experiment at a worker, with what the arms of the last seed share."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment, self.seed, self.shared = experiment, -1, None

    def measure(self, seed: int, arm: str) -> Row:
        """Train one arm and measure it."""
        with one_thread():
            if seed != self.seed:
                self.shared = None  # free the memory before the next is built
                self.shared, self.seed = self.experiment.shared(seed), seed
            trained = self.experiment.train(self.experiment.arms()[arm], self.shared, seed)
            return self.experiment.measure(trained, self.shared, seed)


def measure_arm(opened: Opened, task: tuple[int, str]) -> Row:
    """What a worker does with a task."""
    return opened.measure(*task)


def verdicts(
    experiment: Experiment, seeds: Sequence[int], executor: Executor | None = None
) -> Iterator[tuple[int, Verdict]]:
    """(seed, verdict) in the order of the seeds, each as soon as its arms are measured.

    The same figures whoever measures them, and in whatever order: arms share nothing that they change.
    """
    arms = list(experiment.arms())
    tasks = [(seed, arm) for seed in dict.fromkeys(seeds) for arm in arms]
    rows: dict[int, dict[str, Row]] = {seed: {} for seed in seeds}
    waiting = list(rows)
    done = (executor or Serial()).map(partial(Opened, experiment), measure_arm, tasks)
    for (seed, arm), row in done:
        rows[seed][arm] = row
        while waiting and len(rows[waiting[0]]) == len(arms):
            ready = waiting.pop(0)
            yield ready, experiment.judge(experiment.figures(rows.pop(ready), ready))


@contextlib.contextmanager
def workers_for(executor: str, workers: int, ray_address: str | None = None) -> Generator[Executor]:
    """This process, several on this machine, or the machines of a Ray cluster."""
    if executor == "serial" and workers > 1:
        from remanence.distributed.processes import Processes

        yield Processes(workers)
        return
    with open_executor(executor, workers if executor == "ray" else None, ray_address, "cpu") as made:
        yield made


def result(name: str, experiment: Experiment, size: str, judged: Sequence[tuple[int, Verdict]]) -> dict[str, Any]:
    """What is stored of a run: no dates and no machine paths, so the same figures give the same bytes."""
    holds = [verdict.holds for _, verdict in judged]
    parts = [verdict.figures["parts"] for _, verdict in judged]
    return {
        "name": name,
        "system": experiment.system,
        "claim": experiment.claim,
        "verdict": {"holds": every(holds), "sentence": sentence(holds), "by_seed": holds},
        "size": size,
        "settings": {field.name: getattr(experiment, field.name) for field in fields(experiment)},  # type: ignore[arg-type]
        "seeds": [seed for seed, _ in judged],
        "versions": versions(),
        "parts": [[asdict(part) for part in of_seed] for of_seed in parts],
        "figures": to_json([verdict.figures["figures"] for _, verdict in judged]),
    }


def save(stored: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a result. Raises `RemanenceError` when it has too few seeds for a verdict."""
    if len(stored["seeds"]) < LEAST_SEEDS:
        raise RemanenceError(f"A stored verdict needs {LEAST_SEEDS} seeds, this run has {len(stored['seeds'])}.")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stored['name']}.json"
    path.write_text(as_text(stored), encoding="utf-8")
    return path


def as_text(stored: dict[str, Any]) -> str:
    """JSON with one line per list of numbers."""
    text = json.dumps(stored, indent=1, ensure_ascii=False, allow_nan=False)
    return (
        re.sub(
            r"\[[^\[\]{}\"]*\]", lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text
        )
        + "\n"
    )


def summary(seed: int, verdict: Verdict) -> dict[str, Any]:
    """The verdict of one seed as JSON: parts and figures."""
    parts = [asdict(part) for part in verdict.figures["parts"]]
    head = {"seed": seed, "claim": verdict.claim, "holds": verdict.holds, "text": verdict.text}
    return {**head, "parts": parts, "figures": to_json([verdict.figures["figures"]])}
