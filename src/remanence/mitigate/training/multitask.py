"""Multi-task: train on rows of other tasks together with the target task, so that its rows are memorized less.

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (in its first version)

Every row of the target task is used as often as without the mixture. Joint training as the paper means it also
lengthens training, so compare at equal passes per row AND at equal validation loss (`remanence.stats.front`). How much
of the mixture each other task gets follows Raffel et al. 2020 (arXiv 1910.10683, section 3.5.2): by size, tempered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.training.from_base import finetune_from_base, training_records

Item = TypeVar("Item")


class Place(NamedTuple):
    """Which row of which task."""

    task: str
    row: int


def task_rates(sizes: Mapping[str, int], temperature: float = 1.0) -> dict[str, float]:
    """r_m = e_m^(1/T) / sum_n e_n^(1/T): each task's share of a mixture, e_m rows each (Raffel et al. 2020).

    T = 1 mixes by size; the higher T, the more equal the shares. ValueError unless T > 0.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature of a mixture is above 0, got {temperature}")
    weights = {task: size ** (1 / temperature) if size else 0.0 for task, size in sizes.items()}
    total = sum(weights.values())
    return {task: weight / total if total else 0.0 for task, weight in weights.items()}


def mixture(
    sizes: Mapping[str, int], target: str, per_row: float, temperature: float = 1.0, seed: int = 0, number: int = 0
) -> list[Place]:
    """One pass: every row of `target` exactly once, and `per_row` times as many of the other tasks, spread evenly.

    Pass `number` 0, 1, 2, ... of one seed takes up each other task where the pass before left off, so none of its rows
    is seen a second time before all are seen once; with `number` left at 0 every pass has the same rows. A task whose
    share is larger than it is, is gone through more than once in a pass. ValueError without target rows or others.
    """
    if not sizes.get(target):
        raise ValueError(f"the mixture has no row of its target task {target!r}")
    others = {task: size for task, size in sizes.items() if task != target}
    wanted = round(per_row * sizes[target])
    if per_row < 0 or (wanted and not sum(others.values())):
        raise ValueError(f"{per_row} rows of other tasks per target row cannot be had from {dict(others)}")
    places = {target: [Place(target, i) for i in _shuffled(sizes[target], (seed, number, 0))]}
    for which, (task, count) in enumerate(_whole(task_rates(others, temperature), wanted).items(), 1):
        taken = range(number * count, (number + 1) * count)
        rounds = {at // others[task] for at in taken}
        order = {turn: _shuffled(others[task], (seed, turn, which)) for turn in rounds}
        places[task] = [Place(task, order[at // others[task]][at % others[task]]) for at in taken]
    return _spread(places, np.random.default_rng((seed, number)))


def multitask_rows(
    tasks: Mapping[str, Sequence[Item]],
    target: str,
    per_row: float = 4.0,
    temperature: float = 1.0,
    seed: int = 0,
    number: int = 0,
) -> list[Item]:
    """The rows of one pass, ready for a `Trainer`, TRL (`Dataset.from_list`) or `finetune`; epochs = passes per row.

    A Trainer shuffles them anew every epoch; `train_sampling_strategy="sequential"` keeps the even spread.
    """
    sizes = {task: len(rows) for task, rows in tasks.items()}
    return [tasks[task][row] for task, row in mixture(sizes, target, per_row, temperature, seed, number)]


@accepts_old_keywords()
@dataclass(frozen=True)
class Multitask(TrainedFromBase):
    """Fine-tune the base model on the rows of the target task, mixed with rows of other tasks.

    The task of a row is `meta[column]`. `training.epochs` is the number of passes over each row of the target task.
    """

    task: str = "summarization"
    """The task whose rows should be memorized less."""
    column: str = "task"
    """The column with the task of each row."""
    per_row: float = 4.0
    """Rows of other tasks per row of the target task."""
    temperature: float = 1.0
    """1 = other tasks in proportion to their size; a higher value makes their shares more equal."""
    others: tuple[Record, ...] = ()
    """Further rows of other tasks, for data of one task only."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        return finetune_from_base(target, self.rows(records), "multitask", self.training, out=self.out)

    def rows(self, records: Sequence[Record]) -> list[Record]:
        """One pass of the mixture, without rows of group "heldout".

        Raises `RemanenceError` for a row without a task and a task without rows.
        """
        tasks: dict[str, list[Record]] = {}
        for record in (*training_records(records), *self.others):
            if self.column not in record.meta:
                raise RemanenceError(f"Row {record.id!r} has no column {self.column!r} with its task: add that column.")
            tasks.setdefault(str(record.meta[self.column]), []).append(record)
        if self.task not in tasks:
            raise RemanenceError(f"No row is of the task {self.task!r}: choose one of {', '.join(sorted(tasks))}.")
        if len(tasks) == 1 and self.per_row:
            raise RemanenceError(f"Every row is of the task {self.task!r}: give rows of other tasks with `others`.")
        return multitask_rows(tasks, self.task, self.per_row, self.temperature, self.training.seed)


def _whole(rates: Mapping[str, float], total: int) -> dict[str, int]:
    """The rates as whole numbers of rows that add up to `total`: rounded down, the largest remainders up."""
    exact = {task: rate * total for task, rate in rates.items()}
    counts = {task: int(value) for task, value in exact.items()}
    for task in sorted(exact, key=lambda t: counts[t] - exact[t])[: total - sum(counts.values())]:
        counts[task] += 1
    return counts


def _shuffled(size: int, seed: tuple[int, ...]) -> list[int]:
    return np.random.default_rng(seed).permutation(size).tolist()


def _spread(places: Mapping[str, Sequence[Place]], rng: np.random.Generator) -> list[Place]:
    """All places in one order in which every task stands evenly from start to end: n rows, one in each n-th part."""
    keyed = [
        ((i + at) / len(rows), place)
        for rows in places.values()
        for i, (at, place) in enumerate(zip(rng.random(len(rows)), rows, strict=True))
    ]
    return [place for _, place in sorted(keyed)]
