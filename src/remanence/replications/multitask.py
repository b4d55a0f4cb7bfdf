"""Multi-task lowers memorization: does a model keep less of one task's rows when it learns other tasks beside them?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (in its first version)

A small GPT-2 that has read the inputs of public casebook rows, and no output, is fine-tuned on private rows of one task
in six ways. After every pass it is asked for those rows, and for held-out ones, and its validation loss is taken: each
way is a curve, and early stopping is the curve of plain training. The ways are compared at equal passes per row and at
the best validation loss that both reach; one more trains on as many other rows of the SAME task.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook, public_rows
from remanence.corpora.casebook.tasks import TASKS
from remanence.measure.extraction.discoverable import Discoverable
from remanence.mitigate.training.multitask import multitask_rows
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model, load_tokenizer, quiet
from remanence.models.render import Renderer
from remanence.replications.evaluations import (
    NATS,
    ROWS,
    Curves,
    Evaluation,
    at_equal_loss,
    at_the_end,
    curves,
    evaluate,
    memorizes_less,
)
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figure, Figures, Row, number, share
from remanence.stats.front import Point, attainable, front, gap_at_points, means
from remanence.stats.intervals import bootstrap
from remanence.testbeds.cache import cached
from remanence.training.finetune import finetune
from remanence.training.tiny import tiny_gpt2

LENGTH = 256
"""Tokens of the longest row."""
ONE, MULTI, MORE = "one task", "multi-task", "more of the task"
PASSES = f"{MULTI} minus {ONE}, after all passes"


class Arm(NamedTuple):
    """One way to train."""

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


class Shared(NamedTuple):
    """What all arms start from."""

    rows: Rows
    base: Path
    """The folder of the base model."""


@dataclass(frozen=True)
class CasebookReader:
    """A GPT-2 that has read the inputs of public casebook rows once, and no output."""

    version: ClassVar[int] = 1

    model: str
    rows: int
    seed: int

    def folder(self) -> Path:
        """The model folder, from the cache."""
        return cached(self, self.train, _move, lambda folder: folder)

    def train(self) -> Path:
        """Train it, into a temporary folder."""
        scratch, tokenizer = Path(mkdtemp()), load_tokenizer(base_folder(), "casebook")
        model = tiny_gpt2(self.model, len(tokenizer), LENGTH, self.seed)
        model.config.bos_token_id, model.config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        model.config.pad_token_id = tokenizer.pad_token_id
        with quiet():
            model.save_pretrained(scratch / "start")
        tokenizer.save_pretrained(scratch / "start")
        inputs = [Record(row.id, text=row.prompt) for row in public_rows(self.seed, self.rows)]
        settings: dict[str, Any] = {"epochs": 1, "batch_size": 16, "group_by_length": True, "progress": False}
        return finetune(
            scratch / "start",
            inputs,
            scratch / "base",
            learning_rate=2e-3,
            max_length=LENGTH,
            seed=self.seed,
            **settings,
        )


@dataclass(frozen=True)
class MultitaskLowersMemorization(Experiment):
    """The claim holds when the mixture memorizes less than plain training at equal passes and at equal validation loss
    (95 % interval of the difference below 0), and fails when it memorizes more in either. Judged is the share of rows
    that are extracted, above the held-out rows' share; where its interval contains 0, the gain of log-probability
    instead."""

    claim = "Multi-task fine-tuning lowers memorization, at equal passes and at equal validation loss."
    system = "multitask"
    sizes: ClassVar = {
        "quick": {"copies": ((1, 6), (4, 6)), "heldout": 12, "passes": 3, "per_row": 1.0, "lora_rank": 2,
                  "model": "small", "pretraining": 200}
    }  # fmt: skip

    task: str = "summarization"
    """The task whose rows are asked for."""
    copies: tuple[tuple[int, int], ...] = ((1, 28), (2, 12), (4, 8))
    """How often a row stands in the training data, and how many such rows there are."""
    heldout: int = 80
    passes: int = 10
    """Over every row of the training data, copies and all."""
    per_row: float = 1.0
    """Rows of other tasks per row of the task."""
    learning_rate: float = 3e-3
    batch_size: int = 8
    dropout: float = 0.2
    lora_rank: int = 16
    lora_faster: float = 4.0
    """LoRA needs a higher learning rate."""
    new_tokens: int = 16
    """Tokens that have to be generated exactly for a row to count as extracted."""
    model: str = "medium"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 4000
    """Public rows whose inputs the base model reads."""

    def shared(self, seed: int) -> Shared:
        """Rows, and the base model."""
        return Shared(self.rows(seed), CasebookReader(self.model, self.pretraining, seed).folder())

    def arms(self) -> dict[str, Arm]:
        """Plain training first."""
        return {
            ONE: Arm(),
            MULTI: Arm("with other tasks"),
            MORE: Arm("with more of the task"),
            "dropout": Arm(options={"dropout": self.dropout}),
            "LoRA": Arm(options={"lora_rank": self.lora_rank}, faster=self.lora_faster),
            "deduplicated": Arm("distinct"),
        }

    def train(self, arm: Arm, shared: Shared, seed: int) -> tuple[list[Evaluation], int]:
        """The base model's evaluation and one after every pass, and how many rows a pass has."""
        tokenizer = load_tokenizer(shared.base, "base")
        renderer, measure = Renderer(tokenizer, max_length=LENGTH), Discoverable((0, 4, 8, 16, 32), self.new_tokens)

        def evaluation(model: Any) -> Evaluation:
            target: Any = HuggingFace(model, tokenizer, renderer, "model", "")
            return evaluate(target, shared.rows.members, shared.rows.heldout, measure)

        evaluations, rows = [evaluation(load_model(shared.base).model)], self.trained_on(arm, shared.rows, seed)
        with TemporaryDirectory() as scratch:
            finetune(
                shared.base,
                rows,
                Path(scratch) / "out",
                epochs=self.passes,
                learning_rate=self.learning_rate * arm.faster,
                batch_size=self.batch_size,
                max_length=LENGTH,
                seed=seed,
                on_epoch=lambda epoch, model: evaluations.append(evaluation(model)),
                progress=False,
                **arm.options,
            )
        return evaluations, len(rows)

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

    def measure(self, trained: tuple[list[Evaluation], int], shared: Shared, seed: int) -> Row:
        """After the last pass, and at the best validation loss."""
        evaluations, num_rows = trained
        last, both = evaluations[-1], curves(evaluations)
        rows, nats = (means(curve) for curve in both)
        return {
            "rows per pass": number(num_rows),
            "extracted": share(last.hits_N),
            "held-out rows extracted": share(last.heldout_hits_H),
            "gain": number(nats.excess[-1], "nats", len(last.hits_N), sample=(evaluations, both)),
            "validation loss": number(-rows.utility[-1], "nats"),
            "best validation loss": number(-rows.utility.max(), "nats"),
            "after pass": number(rows.utility.argmax()),
            "most extracted above held-out rows": number(rows.excess.max(), "share"),
        }

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Multi-task and the others against plain training and each other; the curves; the front."""
        samples: dict[str, tuple[list[Evaluation], Curves]] = {n: row["gain"].sample for n, row in figures.items()}
        both = {name: sample[1] for name, sample in samples.items()}
        best = means(both[ONE].rows).utility.max()
        found: Figures = {PASSES: at_the_end(both[MULTI], both[ONE], seed)}
        for name in both:
            if name != MULTI:
                found[at_loss(MULTI, name)] = at_equal_loss(both[MULTI], both[name], seed)
        for name in both:
            if name not in (ONE, MULTI):
                found[at_loss(name, ONE)] = at_equal_loss(both[name], both[ONE], seed)
        for name, of_arm in both.items():
            there = [float(attainable(m.excess, m.utility, best)) for m in map(means, of_arm)]
            found[f"{name}, at the best loss of {ONE}"] = {
                ROWS: number(there[0], "share"),
                NATS: number(there[1], "nats"),
            }
        for name, (evaluations, of_arm) in samples.items():
            rows, nats = (means(curve) for curve in of_arm)
            passes = {
                "extracted": [share(x.hits_N) for x in evaluations],
                "gain": [number(x, "nats") for x in nats.excess],
                "validation loss": [number(-x, "nats") for x in rows.utility],
            }
            for what, values in passes.items():
                found[f"{name}, {what}"] = {f"pass {i}": value for i, value in enumerate(values)}
        for standing in front(points(both)):
            point = standing.point
            found[point.name] = {
                "gain": Figure(point.memorization, point.low, point.high, unit="nats"),
                "minus validation loss": Figure(point.utility, point.utility_low, point.utility_high, unit="nats"),
                "on the front": number(standing.beaten_by is None),
                "beaten beyond the intervals": number(standing.surely),
            }
        return found

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; plain training that memorizes less than 10 % leaves nothing to lower."""
        most, passes = figures[ONE]["most extracted above held-out rows"], figures[PASSES]
        equal = figures[at_loss(MULTI, ONE)]
        others = {name: figures[at_loss(MULTI, name)] for name in self.arms() if name not in (ONE, MULTI)}
        return [
            Part("Plain training memorizes 10 %", most.value >= 0.1,
                 f"plain training extracts {most.short} of rows at most, above held-out rows", "control"),
            Part("Less at equal passes", memorizes_less(passes),
                 f"After {self.passes} passes multi-task minus {self.task} alone: {told(passes)}"),
            Part("Less at equal validation loss", memorizes_less(equal),
                 f"At equal validation loss ({equal['at validation loss'].short}): {told(equal)}"),
            *(Part(f"Less than {name} at equal validation loss", memorizes_less(row),
                   f"Multi-task minus {name}: {told(row)}", "beside") for name, row in others.items()),
        ]  # fmt: skip


def at_loss(a: str, b: str) -> str:
    """Name of the row of a comparison at equal validation loss."""
    return f"{a} minus {b}, at equal validation loss"


def told(row: Row) -> str:
    """A comparison in words."""
    return f"rows extracted {row[ROWS]}, log-probability {row[NATS]}"


def points(arms: Mapping[str, Curves]) -> list[Point]:
    """Every arm at its best validation loss and after its last pass, by gain of log-probability."""
    found: list[Point] = []
    for name, (_, nats) in arms.items():
        excess, utility = means(nats)
        for where, e in (("best loss", int(utility.argmax())), ("last pass", len(utility) - 1)):
            interval = gap_at_points(nats, nats, e, 0).interval
            useful = bootstrap(np.asarray(nats.utility_EU[e], np.float64), np.mean, seed=0)
            found.append(Point(f"{name}, {where}", float(excess[e]), *interval, float(utility[e]), *useful))
    return found


def _move(made: Path, folder: Path) -> None:
    """A model folder into its place in the cache; the temporary folder around it is removed."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    shutil.rmtree(made.parent)
