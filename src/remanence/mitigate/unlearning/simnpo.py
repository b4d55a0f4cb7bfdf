"""SimNPO: NPO without a reference model, on the mean loss of a row, so that long and short rows count alike.

Paper: Fan et al. 2024, "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning", arXiv
2410.07163
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import GradientUnlearning, RetainLoss, retain_loss
from remanence.mitigate.unlearning.losses import simnpo_loss
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True, kw_only=True)
class SimNPO(GradientUnlearning):
    """gamma * -(2 / beta) mean log sigmoid(beta (s / len - delta)) + alpha * loss on retain rows."""

    beta: float = 4.5
    """Inverse temperature, per nat of a token."""
    delta: float = 0.0
    """Loss per token (nats) at which the gradient of a row has fallen to half."""
    gamma: float = 0.125
    """Weight of the loss on forget rows."""
    retain: RetainLoss = "nll"
    """Loss on retain rows: none, nll, or kl (to the model before unlearning)."""

    def objective(self) -> Objective:
        """Two forward passes a step; no reference model."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            forget_loss = simnpo_loss(*sequence_nll(model, forget), self.beta, self.delta)
            return self.gamma * forget_loss + self.alpha * retain_loss(self.retain, model, retain, reference)

        return loss
