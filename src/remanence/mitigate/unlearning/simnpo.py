"""SimNPO: NPO without the start model, and with every row counted alike whatever its length.

Paper: Fan et al. 2024, "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning", arXiv
2410.07163
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.losses import simnpo_loss
from remanence.mitigate.unlearning.steps import Retain, Steps, retain_loss
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@dataclass(frozen=True, kw_only=True)
class SimNPO(Steps):
    """gamma * -(2 / beta) mean log sigmoid(beta (s / len - delta)) + alpha * what holds on to the retain rows."""

    beta: float = 4.5
    """Strength of the brake, per nat of a token."""
    delta: float = 0.0
    """Loss per token (nats) at which a row is half let go."""
    gamma: float = 0.125
    retain: Retain = "nll"

    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, those of retain are held on to."""
        return apply_unlearning(target, records, self.optimize, "simnpo", self.limit, needs=self.wants, seed=self.seed)

    def objective(self) -> Objective:
        """No start model: two forward passes a step."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            away = simnpo_loss(*sequence_nll(model, forget), self.beta, self.delta)
            return self.gamma * away + self.alpha * retain_loss(self.retain, model, retain, start)

        return loss
