"""Need more, keep more: does a task that needs more of a record's fields make a model memorize the fields it skips?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

First the linear statement, closed form against simulation. Then a tiny GPT-2 is fine-tuned on the same 128 records
under tasks that repeat 1, 2, 4 or all 8 of their fields (and none, as a control): same inputs, same length, same number
of targets, same steps. How well it then rates each record's own values is compared with records it never saw. Three
conditions: loss on the answer only; the same from a base that cannot copy yet; and loss on the inputs as well.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from remanence.core.finding import Finding
from remanence.core.verbs import Findings
from remanence.corpora.fields import FieldRecords, Ids
from remanence.explain.sparse_coding.field_memory import Measured, measure
from remanence.explain.sparse_coding.sparse_coding import SparseCoding, linear_holds, needs
from remanence.explain.sparse_coding.trend import Trend, memory_trend, state_trend
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figure, Figures, Row, difference, mean, number, share
from remanence.stats.intervals import Interval
from remanence.training.tiny import LEARNING_RATES, shuffled, tiny_gpt2, train_lm

LossOn = Literal["inputs", "outputs", "both"]
EVERY, SKIPPED, WRITTEN = "all fields", "skipped fields", "read at writing"
LINEAR = "linear map, "


class Condition(NamedTuple):
    """One way to fine-tune."""

    name: str
    loss_on: LossOn
    can_copy: bool = True
    """Whether the base model has learned to repeat fields of its input, on public records."""


CONDITIONS = (
    Condition("loss on outputs", "outputs"),
    Condition("loss on outputs, base cannot copy", "outputs", can_copy=False),
    Condition("loss on inputs too", "both"),
)


class Shared(NamedTuple):
    """What all arms start from."""

    task: FieldRecords
    trained: Ids
    unseen: Ids
    learn: Ids
    """Public records on which the probe is trained."""
    judge: Ids
    """Public records on which it is judged."""
    bases: dict[bool, Any]
    """Whether it can copy -> base model."""


@dataclass(frozen=True)
class SkippedFieldsAreKept(Experiment):
    """The claim holds when the linear statement does, and in every condition exposure beyond records never seen rises
    with the number of fields needed (95 % interval above 0): over all fields, and over those that the tasks skip. It
    does not hold when a rise of `least` can be excluded somewhere; in between, it cannot be decided."""

    claim = "A task that needs more of its input makes a model memorize more of it, what it skips included."
    system = "sparse_coding"
    sizes: ClassVar = {
        "quick": {"records": 32, "epochs": 30, "format_steps": 10, "copy_steps": 10, "mixed_steps": 10,
                  "probe_records": 200, "conditions": CONDITIONS[1:]}
    }  # fmt: skip

    records: int = 128
    epochs: int = 50
    least: float = 0.1
    """Bits of exposure per doubling of the fields needed."""
    model: str = "small"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    format_steps: int = 60
    copy_steps: int = 550
    mixed_steps: int = 150
    probe_records: int = 1500
    conditions: tuple[Condition, ...] = CONDITIONS

    def shared(self, seed: int) -> Shared:
        """Records that are trained on and records that are not, and the base models."""
        task, rng = FieldRecords(), np.random.default_rng((seed, 6))
        both = task.draw(2 * self.records, rng)
        learn, judge = (task.draw(n, rng, "public") for n in (self.probe_records, 300))
        return Shared(task, both[: self.records], both[self.records :], learn, judge, self.bases(task, seed))

    def bases(self, task: FieldRecords, seed: int) -> dict[bool, Any]:
        """A model that knows how records look, and one that can also repeat every field; both from public records."""
        rng, rate, everything = np.random.default_rng((seed, 7)), LEARNING_RATES[self.model], range(task.fields)

        def fresh(steps: int) -> Iterator[Tensor]:
            return (torch.from_numpy(rows) for rows in task.fresh(rng, 32, steps, everything))

        plain = tiny_gpt2(self.model, vocab=task.vocab, positions=task.length, seed=seed)
        train_lm(plain, fresh(self.format_steps), rate, prepare=on("inputs", task))
        able = copy.deepcopy(plain)
        train_lm(able, fresh(self.copy_steps), rate, prepare=on("outputs", task))
        train_lm(able, fresh(self.mixed_steps), rate, prepare=on("both", task))
        return {False: plain, True: able}

    def arms(self) -> dict[str, tuple[Condition | None, int]]:
        """Every condition under every task, by the number of fields that it needs; and the base that can copy."""
        fields = FieldRecords().fields
        arms: dict[str, tuple[Condition | None, int]] = {
            arm_name(condition, s): (condition, s) for condition in self.conditions for s in (0, *needs(fields))
        }
        return arms | {"base model": (None, fields)}

    def train(self, arm: tuple[Condition | None, int], shared: Shared, seed: int) -> tuple[Any, int]:
        """The model of an arm, and how many fields its task needs."""
        condition, s = arm
        if condition is None:
            return shared.bases[True], s
        model = copy.deepcopy(shared.bases[condition.can_copy])
        rows = shuffled(shared.task.rows(shared.trained, shared.task.needed(s)), 32, self.epochs, seed)
        train_lm(model, rows, LEARNING_RATES[self.model], prepare=on(condition.loss_on, shared.task))
        return model, s

    def measure(self, trained: tuple[Any, int], shared: Shared, seed: int) -> Row:
        """How well the model knows fields that its task needs and skips, and what its states hold of them."""
        model, s = trained
        task, records = shared.task, (shared.trained, shared.unseen, shared.learn, shared.judge)
        return row(measure(model, task, *records, task.needed(s)), seed)

    def compare(self, figures: Figures, seed: int) -> Figures:
        """The trends of every condition, and the linear statement beside its simulation."""
        found: Figures = {}
        for condition in self.conditions:
            m = FieldRecords().fields
            arms: dict[int, Measured] = {s: figures[arm_name(condition, s)]["bits"].sample for s in (0, *needs(m))}
            found[condition.name] = {
                EVERY: rise(memory_trend(arms, range(m), seed), "bits"),
                SKIPPED: rise(memory_trend(arms, range(1, m, 2), seed), "bits"),
                WRITTEN: rise(state_trend(arms, range(m), seed), "share"),
            }
        return found | linear_rows(SparseCoding()(seed))

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; models that memorized less than a bit have nothing to compare."""
        linear = [
            Finding(name, "", row["share kept"].value, {column: figure.value for column, figure in row.items()})
            for name, row in figures.items()
            if name.startswith(LINEAR)
        ]
        trends = {condition.name: figures[condition.name] for condition in self.conditions}
        most = max(
            figures[name]["bits beyond unseen"].value for name, (condition, _) in self.arms().items() if condition
        )
        written = "; ".join(f"{name} {row[WRITTEN]}" for name, row in trends.items())
        return [
            Part("Some model memorizes a bit", most >= 1, f"the models memorized {most:.2f} bits at best", "control"),
            Part("The linear statement holds", linear_holds(linear),
                 f"Share of the input that the linear map keeps: {', '.join(f'{f.score:.0%}' for f in linear)}"),
            *(Part(f"{name}: exposure of {fields} rises", rises(row[fields], self.least),
                   f"{name}, bits per doubling of the fields needed, {fields}: {row[fields]}".capitalize())
              for fields in (EVERY, SKIPPED) for name, row in trends.items()),
            Part("States hold more of the input", all(row[WRITTEN].low > 0 for row in trends.values()),
                 f"Share of the input that a probe reads off the states that write the answer, per doubling: {written}",
                 "beside"),
        ]  # fmt: skip


def linear_rows(findings: Findings) -> Figures:
    """The linear statement beside its simulation, a row per task."""
    return {
        LINEAR + finding.record_id: {
            "share kept": number(finding.score or 0.0),
            **{name: number(value) for name, value in finding.evidence.items()},
        }
        for finding in findings
    }


def arm_name(condition: Condition, s: int) -> str:
    """Name of the arm of a condition whose task needs so many fields."""
    return f"{condition.name}, needs {s}"


def rise(found: Trend, unit: str) -> Figure:
    """A change per doubling of the fields needed."""
    return difference(found.value, found.interval, unit=unit)


def rises(figure: Figure, least: float) -> bool | None:
    """True when the interval lies above 0 and reaches `least`; False when it stays below `least`; else None."""
    return Trend(figure.value, Interval(figure.low, figure.high)).rises(least)


def on(loss_on: LossOn, task: FieldRecords) -> Any:
    """Labels for `train_lm`: which part of the row carries loss."""

    def prepare(ids: Tensor) -> tuple[Tensor, Tensor]:
        labels = ids.clone()
        if loss_on == "outputs":
            labels[:, : task.prompt] = -100
        if loss_on == "inputs":
            labels[:, task.prompt :] = -100
        return ids, labels

    return prepare


def row(arm: Measured, seed: int) -> Row:
    """The figures of one model; `skipped` are the fields that its task does not need."""
    needed = list(arm.needed)
    skipped = [j for j in range(arm.exposure.shape[1]) if j not in needed]

    def bits(values: Any) -> Figure:
        return number(values.mean() if values.size else math.nan, "bits")

    def read(values: Any) -> Figure:
        return number(values.mean() if values.size else math.nan, "share")

    answers = [math.nan if value is None else value for value in arm.from_answer]
    return {
        "bits": number(arm.exposure.mean(), "bits", sample=arm),
        "bits beyond unseen": number(arm.excess, "bits"),
        "skipped, bits": mean(arm.exposure[:, skipped].mean(axis=1) if skipped else [], seed, "bits"),
        "skipped, bits, unseen": bits(arm.floor[:, skipped]),
        "skipped, exact": share(arm.exact[:, skipped].ravel()),
        "skipped, exact, unseen": share(arm.exact_floor[:, skipped].ravel()),
        "needed, bits": bits(arm.exposure[:, needed]),
        "needed, bits, unseen": bits(arm.floor[:, needed]),
        "needed, exact": share(arm.exact[:, needed].ravel()),
        "needed, bits from the answer": number(answers[0], "bits"),
        "needed, bits from the answer, unseen": number(answers[1], "bits"),
        "answers right on unseen": number(arm.learned, "share"),
        "read at writing": read(arm.at_writing),
        "read at writing, skipped": read(arm.at_writing[:, skipped]),
        "read at the end": read(arm.at_the_end),
        "read at the end, skipped": read(arm.at_the_end[:, skipped]),
    }
