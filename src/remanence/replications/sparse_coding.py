"""Need more, keep more: does a task that needs more of a record's fields make a model memorize the fields it skips?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

First the linear statement, closed form against simulation. Then a tiny GPT-2 is fine-tuned on the same 128 records
under tasks that repeat 1, 2, 4 or all 8 of their fields (and none, as a control): same inputs, same length, same number
of targets, same steps. How well it then rates each record's own values is compared with records it never saw. Three
conditions: loss on the answer only; the same from a base that cannot copy yet; and loss on the inputs as well.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from remanence.core.verbs import Experiment, Findings, Verdict
from remanence.corpora.fields import FieldRecords
from remanence.explain.sparse_coding.field_memory import Measured, mean_or_none, measure
from remanence.explain.sparse_coding.sparse_coding import SparseCoding, linear_holds, needs
from remanence.explain.sparse_coding.trend import Trend, memory_trend, state_trend
from remanence.stats.exposure import chance_exposure
from remanence.stats.intervals import bootstrap, clopper_pearson
from remanence.training.tiny import LEARNING_RATES, shuffled, tiny_gpt2, train_lm

LossOn = Literal["inputs", "outputs", "both"]


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


@dataclass(frozen=True)
class SkippedFieldsAreKept(Experiment):
    """The claim holds when the linear statement does, and in every condition exposure beyond records never seen rises
    with the number of fields needed (95 % interval above 0): over all fields, and over those that the tasks skip. It
    does not hold when a rise of `least` can be excluded somewhere; in between, it cannot be decided."""

    records: int = 128
    epochs: int = 50
    least: float = 0.1
    """Bits of exposure per doubling of the fields needed."""
    size: str = "small"
    format_steps: int = 60
    copy_steps: int = 550
    mixed_steps: int = 150
    probe_records: int = 1500
    conditions: tuple[Condition, ...] = CONDITIONS

    @classmethod
    def quick(cls) -> SkippedFieldsAreKept:
        """A size for tests: seconds, and the same code."""
        return cls(
            records=32, epochs=30, format_steps=10, copy_steps=10, mixed_steps=10, probe_records=200,
            conditions=CONDITIONS[1:],
        )  # fmt: skip

    def __call__(self, seed: int) -> Verdict:
        """The linear statement, then every condition under every task from the same base models."""
        task, rng = FieldRecords(), np.random.default_rng((seed, 6))
        both = task.draw(2 * self.records, rng)
        trained, unseen = both[: self.records], both[self.records :]
        learn, judge = (task.draw(n, rng, "public") for n in (self.probe_records, 300))
        bases = self.bases(task, seed)
        measured: dict[str, dict[int, Measured]] = {}
        for condition in self.conditions:
            arms = measured.setdefault(condition.name, {})
            for s in (0, *needs(task.fields)):
                model, needed = copy.deepcopy(bases[condition.can_copy]), task.needed(s)
                rows = shuffled(task.rows(trained, needed), 32, self.epochs, seed)
                train_lm(model, rows, LEARNING_RATES[self.size], prepare=on(condition.loss_on, task))
                arms[s] = measure(model, task, trained, unseen, learn, judge, needed)
        base = measure(bases[True], task, trained, unseen, learn, judge, task.needed(task.fields))
        return self.judge(SparseCoding()(seed), measured, base, seed)

    def bases(self, task: FieldRecords, seed: int) -> dict[bool, Any]:
        """A model that knows how records look, and one that can also repeat every field; both from public records."""
        rng, rate, everything = np.random.default_rng((seed, 7)), LEARNING_RATES[self.size], range(task.fields)

        def fresh(steps: int) -> Iterator[Tensor]:
            return (torch.from_numpy(rows) for rows in task.fresh(rng, 32, steps, everything))

        plain = tiny_gpt2(self.size, vocab=task.vocab, positions=task.length, seed=seed)
        train_lm(plain, fresh(self.format_steps), rate, prepare=on("inputs", task))
        able = copy.deepcopy(plain)
        train_lm(able, fresh(self.copy_steps), rate, prepare=on("outputs", task))
        train_lm(able, fresh(self.mixed_steps), rate, prepare=on("both", task))
        return {False: plain, True: able}

    def judge(
        self, linear: Findings, measured: Mapping[str, Mapping[int, Measured]], base: Measured, seed: int
    ) -> Verdict:
        """The verdict, from the linear findings and the arms of every condition by number of needed fields."""
        statement = linear_holds(linear)
        m = base.exposure.shape[1]
        skipped = {name: memory_trend(arms, range(1, m, 2), seed) for name, arms in measured.items()}
        every = {name: memory_trend(arms, range(m), seed) for name, arms in measured.items()}
        written = {name: state_trend(arms, range(m), seed) for name, arms in measured.items()}
        rises = [found.rises(self.least) for part in (every, skipped) for found in part.values()]
        holds = None if None in rises else all(rises)
        holds = False if False in rises or not statement else holds
        text = (
            f"The linear statement {'holds' if statement else 'does not hold'}. Bits of exposure per doubling of the "
            f"fields needed: {_said(every)}; of the fields skipped alone: {_said(skipped)}. Share of the input that a "
            f"probe reads off the states that write the answer, per doubling: {_said(written)}."
        )
        seen = max(one.excess for arms in measured.values() for one in arms.values())
        if seen < 1:
            holds, text = None, f"No model memorized anything ({seen:.2f} bits at best). {text}"
        return Verdict(
            claim="A task that needs more of its input makes a model memorize more of it, what it skips included.",
            holds=holds,
            text=text,
            figures={
                "seed": seed,
                "chance_bits": chance_exposure(FieldRecords().symbols),
                "linear": [{"task": f.record_id, "share_kept": f.score, **f.evidence} for f in linear],
                "linear_holds": statement,
                "table": [line(n, s, one, seed) for n, arms in measured.items() for s, one in arms.items()],
                "base": line("base model", m, base, seed),
                "skipped": {name: found.figures() for name, found in skipped.items()},
                "all": {name: found.figures() for name, found in every.items()},
                "at_writing": {name: found.figures() for name, found in written.items()},
            },
        )


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


def line(name: str, s: int, arm: Measured, seed: int) -> dict[str, Any]:
    """One line of the table; `skipped` are the fields that the task does not need."""
    skipped, needed = [j for j in range(arm.exposure.shape[1]) if j not in arm.needed], list(arm.needed)
    per_record = arm.exposure[:, skipped].mean(axis=1) if skipped else np.empty(0)
    return {
        "condition": name,
        "needed": s,
        "skipped_bits": mean_or_none(per_record),
        "skipped_bits_interval": list(bootstrap(per_record, np.mean, seed)) if skipped else None,
        "skipped_bits_unseen": mean_or_none(arm.floor[:, skipped]),
        "skipped_exact": int(arm.exact[:, skipped].sum()),
        "skipped_exact_unseen": int(arm.exact_floor[:, skipped].sum()),
        "skipped_values": len(arm.exact) * len(skipped),
        "skipped_exact_interval": list(
            clopper_pearson(int(arm.exact[:, skipped].sum()), len(arm.exact) * len(skipped))
        ),
        "needed_exact": int(arm.exact[:, needed].sum()),
        "needed_values": len(arm.exact) * len(needed),
        "needed_bits": mean_or_none(arm.exposure[:, needed]),
        "needed_bits_unseen": mean_or_none(arm.floor[:, needed]),
        "needed_bits_from_answer": arm.from_answer[0],
        "needed_bits_from_answer_unseen": arm.from_answer[1],
        "learned": arm.learned,
        "read_at_writing_skipped": mean_or_none(arm.at_writing[:, skipped]),
        "read_at_writing": mean_or_none(arm.at_writing),
        "read_at_the_end": mean_or_none(arm.at_the_end),
        "read_at_the_end_skipped": mean_or_none(arm.at_the_end[:, skipped]),
    }


def _said(trends: Mapping[str, Trend]) -> str:
    return "; ".join(f"{name} {one.value:+.2f} ({one.interval.low:+.2f} to {one.interval.high:+.2f})"
                     for name, one in trends.items())  # fmt: skip
