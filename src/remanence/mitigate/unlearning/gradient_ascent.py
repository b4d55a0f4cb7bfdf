"""Gradient ascent: increase the loss of the rows to forget.

Paper: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks in Language Models", arXiv 2210.01504

Nothing preserves the other rows, and the loss has no minimum: without a stop the model breaks down. With `beta` above 0
the weight of a token decreases with its probability (WGA; Wang et al. 2025, arXiv 2502.19301), which slows this down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import GradientUnlearning
from remanence.mitigate.unlearning.losses import weighted_gradient_ascent
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, predictions, token_nll
from remanence.training.unlearn import Objective


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True, kw_only=True)
class GradientAscent(GradientUnlearning):
    """- gamma * mean over tokens of p^beta * -log p, on the forget rows alone."""

    beta: float = 0.0
    """0 = plain gradient ascent; OpenUnlearning's WGA has 1."""

    @property
    def groups(self) -> tuple[str, ...]:
        return ("forget",)

    def objective(self) -> Objective:
        """Retain rows are not used."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            predicted = predictions(model, forget)
            return self.gamma * weighted_gradient_ascent(token_nll(*predicted), predicted.learned_BT, self.beta)

        return loss
