"""Multi-task lowers memorization: does a model keep less of one task's rows when it learns other tasks beside them?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (in its first version)

A small GPT-2 that has read the inputs of public casebook rows, and no output, is fine-tuned on private rows of one task
in six ways. After every pass it is asked for those rows, and for held-out ones, and its validation loss is taken: each
way is a curve, and early stopping is the curve of plain training. The ways are compared at equal passes per row and at
the best validation loss that both reach; one more trains on as many other rows of the SAME task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np

from remanence.core.record import Record
from remanence.core.verbs import Experiment, Verdict
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook, public_rows
from remanence.corpora.casebook.tasks import TASKS
from remanence.measure.extraction.discoverable import Discoverable
from remanence.mitigate.training.multitask import multitask_rows
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model, load_tokenizer, quiet
from remanence.models.render import Renderer
from remanence.replications.front.looks import Curves, Look, curves, gaps_at_equal_loss, gaps_at_the_end, look
from remanence.stats.front import Point, attainable, front, gap_at_points, means
from remanence.stats.intervals import bootstrap, clopper_pearson
from remanence.training.finetune import finetune
from remanence.training.tiny import tiny_gpt2

LENGTH = 256
"""Tokens of the longest row."""


class Arm(NamedTuple):
    """One way to train."""

    name: str
    rows: Literal["all", "with other tasks", "with more of the task", "distinct"] = "all"
    options: Mapping[str, Any] = {}
    """Handed to `finetune`."""
    faster: float = 1.0
    """Factor on the learning rate."""


class Rows(NamedTuple):
    """The rows of one seed. No two are of the same person."""

    members: list[Record]
    """The rows in question, each once."""
    train: list[Record]
    """The same rows with their copies."""
    heldout: list[Record]
    others: dict[str, list[Record]]
    """Rows of the other tasks."""
    more: list[Record]
    """As many more rows of the same task."""


@dataclass(frozen=True)
class MultitaskLowersMemorization(Experiment):
    """The claim holds when the mixture memorizes less than plain training at equal passes and at equal validation loss
    (95 % interval of the difference below 0), and fails when it memorizes more in either. Judged is the share of rows
    that come back, above the held-out rows' share; where its interval holds 0, the gain of log-probability instead."""

    task: str = "summarization"
    """The task whose rows are asked for."""
    copies: tuple[tuple[int, int], ...] = ((1, 28), (2, 12), (4, 8))
    """How often a row stands in the training data, and how many such rows there are."""
    heldout: int = 80
    passes: int = 10
    """Over every row of the training data, copies and all."""
    per_row: float = 1.0
    """Rows of other tasks (or more rows of the same) per row of the task."""
    learning_rate: float = 3e-3
    batch_size: int = 8
    dropout: float = 0.2
    lora_rank: int = 16
    lora_faster: float = 4.0
    """LoRA needs a higher learning rate."""
    new_tokens: int = 16
    """How many tokens must come back."""
    size: str = "medium"
    pretraining: int = 4000
    """Public rows whose inputs the base model reads."""

    @classmethod
    def quick(cls) -> MultitaskLowersMemorization:
        """A size for tests: a minute, and the same code."""
        return cls(
            copies=((1, 6), (4, 6)), heldout=12, passes=3, per_row=1.0, lora_rank=2, size="small", pretraining=200
        )

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Plain training first."""
        return (
            Arm("one task"),
            Arm("multi-task", "with other tasks"),
            Arm("more of the task", "with more of the task"),
            Arm("dropout", options={"dropout": self.dropout}),
            Arm("LoRA", options={"lora_rank": self.lora_rank}, faster=self.lora_faster),
            Arm("deduplicated", "distinct"),
        )

    def __call__(self, seed: int) -> Verdict:
        """Train the base model, then the six arms from it, and compare."""
        rows = self.rows(seed)
        measure = Discoverable((0, 4, 8, 16, 32), self.new_tokens)
        looks: dict[str, list[Look]] = {}
        with TemporaryDirectory() as scratch:
            base = self.base(Path(scratch), seed)
            tokenizer = load_tokenizer(base, "base")
            renderer = Renderer(tokenizer, max_length=LENGTH)

            def look_at(model: Any) -> Look:
                target: Any = HuggingFace(model, tokenizer, renderer, "model", "")
                return look(target, rows.members, rows.heldout, measure)

            start = look_at(load_model(base).model)
            for arm in self.arms:
                taken = looks.setdefault(arm.name, [start])

                def after(epoch: int, model: Any, taken: list[Look] = taken) -> None:
                    taken.append(look_at(model))

                finetune(
                    base,
                    self.trained_on(arm, rows, seed),
                    Path(scratch) / "out",
                    epochs=self.passes,
                    learning_rate=self.learning_rate * arm.faster,
                    batch_size=self.batch_size,
                    max_length=LENGTH,
                    seed=seed,
                    on_epoch=after,
                    progress=False,
                    **arm.options,
                )
        return self.judge(looks, {arm.name: len(self.trained_on(arm, rows, seed)) for arm in self.arms}, seed)

    def rows(self, seed: int) -> Rows:
        """All rows of a seed; every case makes one row."""
        book, num_members = Casebook(seed), sum(n for _, n in self.copies)
        beside = round(self.per_row * sum(count * n for count, n in self.copies))
        rest = [task for task in TASKS if task != self.task]
        each = -(-beside // len(rest))
        cases = iter(book.cases(num_members + self.heldout + each * len(rest) + beside))

        def draw(task: str, n: int, group: Any = "train") -> list[Record]:
            return book.records(task, [next(cases) for _ in range(n)], group)

        members = draw(self.task, num_members)
        times = [count for count, n in self.copies for _ in range(n)]
        train = [row for row, count in zip(members, times, strict=True) for _ in range(count)]
        heldout = draw(self.task, self.heldout, "heldout")
        return Rows(members, train, heldout, {task: draw(task, each) for task in rest}, draw(self.task, beside))

    def trained_on(self, arm: Arm, rows: Rows, seed: int) -> list[Record]:
        """One pass of an arm."""
        if arm.rows == "with other tasks":
            return multitask_rows({self.task: rows.train, **rows.others}, self.task, self.per_row, seed=seed)
        if arm.rows == "with more of the task":
            return [*rows.train, *rows.more]
        return rows.members if arm.rows == "distinct" else rows.train

    def base(self, scratch: Path, seed: int) -> Path:
        """A model folder: GPT-2 after one pass over the inputs of public rows of all tasks."""
        tokenizer = load_tokenizer(base_folder(), "casebook")
        model = tiny_gpt2(self.size, len(tokenizer), LENGTH, seed)
        model.config.bos_token_id, model.config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        model.config.pad_token_id = tokenizer.pad_token_id
        with quiet():
            model.save_pretrained(scratch / "start")
        tokenizer.save_pretrained(scratch / "start")
        inputs = [Record(row.id, text=row.prompt) for row in public_rows(seed, self.pretraining)]
        settings: dict[str, Any] = {"epochs": 1, "batch_size": 16, "group_by_length": True, "progress": False}
        return finetune(
            scratch / "start", inputs, scratch / "base", learning_rate=2e-3, max_length=LENGTH, seed=seed, **settings
        )

    def judge(self, looks: Mapping[str, Sequence[Look]], num_rows: Mapping[str, int], seed: int) -> Verdict:
        """The mixture against plain training, and against the others."""
        arms = {name: curves(taken) for name, taken in looks.items()}
        one, multi = arms["one task"], arms["multi-task"]
        passes = gaps_at_the_end(multi, one, seed)
        at_loss = {name: gaps_at_equal_loss(multi, arm, seed) for name, arm in arms.items() if name != "multi-task"}
        stopped = {name: gaps_at_equal_loss(arm, one, seed) for name, arm in arms.items() if name != "one task"}
        parts = {passes.sign, at_loss["one task"].sign}
        decidable = bool(means(one.rows).excess.max() >= 0.1)
        holds = None if not decidable or parts == {"less", "unclear"} or parts == {"unclear"} else parts == {"less"}
        rivals = "; ".join(f"than {name} {gaps.said}" for name, gaps in at_loss.items() if name != "one task")
        text = (
            f"After {self.passes} passes multi-task training memorizes {passes.said} than training on {self.task} alone"
            f"; at equal validation loss ({-at_loss['one task'].rows.utility:.2f} nats) {at_loss['one task'].said}. "
            f"At equal validation loss it memorizes: {rivals}."
        )
        return Verdict(
            claim="Multi-task fine-tuning lowers memorization, at equal passes and at equal validation loss.",
            holds=holds,
            text=text if decidable else f"Plain training memorizes too little to compare. {text}",
            figures={
                "seed": seed,
                "arms": [_line(name, taken, num_rows[name], arms, seed) for name, taken in looks.items()],
                "multi_task_minus_one_task_after_all_passes": passes.figures(),
                "multi_task_minus_others_at_equal_loss": {name: gaps.figures() for name, gaps in at_loss.items()},
                "others_minus_one_task_at_equal_loss": {name: gaps.figures() for name, gaps in stopped.items()},
                "front": [s._asdict() | {"point": s.point.name} for s in front(_points(arms))],
            },
        )


def _points(arms: Mapping[str, Curves]) -> list[Point]:
    """Every arm at its best validation loss and after its last pass, by gain of log-probability."""
    found: list[Point] = []
    for name, (_, nats) in arms.items():
        excess, utility = means(nats)
        for where, e in (("best loss", int(utility.argmax())), ("last pass", len(utility) - 1)):
            interval = gap_at_points(nats, nats, e, 0).interval
            useful = bootstrap(np.asarray(nats.utility_EU[e], np.float64), np.mean, seed=0)
            found.append(Point(f"{name}, {where}", float(excess[e]), *interval, float(utility[e]), *useful))
    return found


def _line(name: str, looks: Sequence[Look], rows: int, arms: Mapping[str, Curves], seed: int) -> dict[str, Any]:
    """One arm, pass by pass from 0, and what it memorizes by the time it is as good as plain training at its best."""
    hits = [int(x.hits_N.sum()) for x in looks]
    measured = [means(curve) for curve in arms[name]]
    best = means(arms["one task"].rows).utility.max()
    there = [float(attainable(m.excess, m.utility, best)) for m in measured]
    return {
        "arm": name,
        "rows_per_pass": rows,
        "members": looks[0].hits_N.size,
        "heldout": looks[0].heldout_hits_H.size,
        "hits": hits,
        "hits_interval": [list(clopper_pearson(h, looks[0].hits_N.size)) for h in hits],
        "floor_hits": [int(x.heldout_hits_H.sum()) for x in looks],
        "validation_nats": [round(-float(u), 4) for u in measured[0].utility],
        "gain_nats": [round(float(m), 4) for m in measured[1].excess],
        "rows_and_nats_at_best_loss_of_one_task": "not reached" if math.isnan(there[0]) else there,
    }
