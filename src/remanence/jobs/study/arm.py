"""An arm of a study is one fine-tuning: which task, which model, what the loss is on, how long, which seed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.jobs.study.settings import GridSettings


@dataclass(frozen=True)
class Arm:
    """One fine-tuning and what is measured of it; two arms that differ in the seed alone are pooled."""

    task: str
    model: str
    """Name of the base model in the study's `models`."""
    loss_on: Literal["completion", "all"] = "completion"
    """`all`: inputs are training targets too, as in the published training of decoder-only models. An encoder-decoder
    learns completions only."""
    seed: int = 0
    epochs: int = 6
    """Passes over the rows."""
    learning_rate: float = 2e-3
    batch_size: int = 8
    lora_rank: int = 0
    """0 = all weights are trained."""

    def __post_init__(self) -> None:
        if self.loss_on not in ("completion", "all"):
            raise RemanenceError(f"loss_on of an arm is completion or all, got {self.loss_on!r}.")
        if self.epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0 or self.lora_rank < 0:
            raise RemanenceError(f"{self.task}: epochs, batch_size and learning_rate must be above 0.")

    @property
    def recipe(self) -> Arm:
        """The arm without its seed: what is pooled."""
        return replace(self, seed=0)

    @property
    def label(self) -> str:
        """What it is called in tables, seed left out; parts that say the default are left out too."""
        parts = [self.task, self.model, f"loss on {'inputs too' if self.loss_on == 'all' else 'outputs'}"]
        plain = Arm(self.task, self.model)
        if self.learning_rate != plain.learning_rate:
            parts.append(f"rate {self.learning_rate:g}")
        if self.lora_rank:
            parts.append(f"LoRA rank {self.lora_rank}")
        return ", ".join(parts)

    @property
    def slug(self) -> str:
        """The name of its folder: unlike for unlike arms."""
        rest = f"{self.loss_on}-e{self.epochs}-lr{self.learning_rate:g}-b{self.batch_size}-r{self.lora_rank}"
        return f"{safe(self.task)}.{safe(self.model)}.{rest}-s{self.seed}"

    @property
    def base_slug(self) -> str:
        """The folder of what the base model says of the same rows, shared by arms that differ in training alone."""
        return f"{safe(self.task)}.{safe(self.model)}-s{self.seed}"

    @property
    def data_slug(self) -> str:
        """The folder of the rows, shared by all arms of a task and seed."""
        return f"{safe(self.task)}-s{self.seed}"

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return asdict(self)


def grid(tasks: Iterable[str], models: Iterable[str], values: GridSettings | None = None) -> list[Arm]:
    """Every combination of tasks, models and the values of the grid."""
    values = values or GridSettings()
    return [
        Arm(task, model, loss, seed, values.epochs, rate, values.batch_size, rank)
        for task in tasks
        for model in models
        for loss in values.loss_on
        for rate in values.learning_rates
        for rank in values.lora_ranks
        for seed in values.seeds
    ]


def safe(name: str) -> str:
    """A name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "unnamed"
