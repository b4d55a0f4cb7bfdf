"""Gradient ascent: train on the rows backwards, so that they become less likely with every step.

Paper: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks in Language Models", arXiv 2210.01504

Nothing holds on to anything else, and there is no point at which the loss is content: left alone, the model falls
apart. With `beta` above 0 a token counts the less the less likely it has become (WGA; Wang et al. 2025, arXiv
2502.19301), which slows the fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.losses import weighted_gradient_ascent
from remanence.mitigate.unlearning.steps import Steps
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, predictions, token_nll
from remanence.training.unlearn import Objective


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Steps):
    """- gamma * mean over tokens of p^beta * -log p, on the forget rows alone."""

    beta: float = 0.0
    """0 = plain gradient ascent; OpenUnlearning's WGA has 1."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, heldout (or retain) are watched."""
        return apply_unlearning(
            target, records, self.optimize, "gradient_ascent", self.limit, needs=self.wants, seed=self.seed
        )

    def objective(self) -> Objective:
        """Retain rows are not looked at."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            said = predictions(model, forget)
            return self.gamma * weighted_gradient_ascent(token_nll(*said), said.learned_BT, self.beta)

        return loss
