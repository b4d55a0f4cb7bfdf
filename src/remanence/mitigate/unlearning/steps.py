"""What all methods of this folder share: how steps are taken, and how forget and retain rows are added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.verbs import Mitigation
from remanence.mitigate.unlearning.losses import kl_to_ref, nll
from remanence.training.reference import ReferenceModel
from remanence.training.rows import Row
from remanence.training.sequences import Batch, predictions, sequence_nll
from remanence.training.unlearn import Objective, StopCallback, UnlearnSettings, unlearn

Retain: TypeAlias = Literal["none", "nll", "kl"]
"""How retain rows are held on to: not at all, by learning them on, by saying what the start model says of them."""


@dataclass(frozen=True, kw_only=True)
class Steps(Mitigation):
    """A method that takes optimizer steps: the fields for them, and the walk. A subclass names its objective.

    total loss = gamma * loss on forget rows + alpha * loss on retain rows.
    """

    gamma: float = 1.0
    alpha: float = 1.0
    learning_rate: float | None = None
    """Constant rate of AdamW; None = `RATE`, and `FASTER` times as much for an adapter."""
    steps: int = 60
    """At most; the guard may stop before."""
    batch_size: int = 8
    """Forget rows per forward pass, and as many retain rows."""
    accumulate: int = 1
    """Forward passes per step."""
    check_every: int = 5
    """Steps between two looks of the guard."""
    max_grad_norm: float = 1.0
    warmup_steps: int = 0
    seed: int = 0
    """Order of the rows, and which retain rows go with which."""
    limit: float = 0.02
    """Greatest relative rise of the held-out loss; the best state within it is kept."""

    unit: ClassVar[str] = "steps"
    needs: ClassVar[tuple[str, ...]] = ()

    def objective(self) -> Objective:
        """(model, forget, retain, start) -> the scalar to minimise."""
        raise NotImplementedError  # abstract

    def settings(self, model: Any) -> UnlearnSettings:
        """The steps for this model."""
        rate = self.learning_rate
        if rate is None:
            rate = RATE * (FASTER if hasattr(model, "peft_config") else 1)
        return UnlearnSettings(
            learning_rate=rate,
            steps=self.steps,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            check_every=self.check_every,
            seed=self.seed,
            max_grad_norm=self.max_grad_norm,
            warmup_steps=self.warmup_steps,
        )

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """Change the live model step by step; `stop(steps, model)` looks at it on the way and says when to stop."""
        self.check(retain)
        unlearn(model, tokenizer, forget, retain, self.objective(), self.settings(model), stop=stop)

    def check(self, retain: Sequence[Row]) -> None:
        """Raises `RemanenceError` when the method needs retain rows and there are none."""
        if "retain" in self.wants and not retain:
            raise RemanenceError(f"{type(self).__name__} trains on rows that are to be kept: give it retain rows.")

    @property
    def wants(self) -> tuple[str, ...]:
        """`needs`, with these settings."""
        way: Retain | None = getattr(self, "retain", None)
        return self.needs if way is None else () if way == "none" else ("retain",)


RATE = 2e-4
"""Learning rate of whole models."""
FASTER = 4.0
"""Factor for adapters."""


def retain_loss(way: Retain, model: Any, retain: Batch | None, start: ReferenceModel) -> Tensor | float:
    """What keeps the retain rows; 0 where there are none or nothing is to keep them."""
    if way == "none" or retain is None:
        return 0.0
    if way == "nll":
        return nll(*sequence_nll(model, retain))
    said, ref = predictions(model, retain), predictions(model, retain, start)
    return kl_to_ref(said.logits_BTV, ref.logits_BTV, said.learned_BT)
