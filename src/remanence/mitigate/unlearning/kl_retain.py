"""KL retain: increase the loss of the rows to forget, and keep the predictions on rows to keep as they were.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121 (KL minimization)

The reference is the same model before unlearning, so the rows to keep need not be training rows: any text on which the
model should not change will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import GradientUnlearning, retain_loss
from remanence.mitigate.unlearning.losses import gradient_ascent
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True, kw_only=True)
class KLRetain(GradientUnlearning):
    """gamma * -(mean NLL of forget rows) + alpha * KL(reference || model) on retain rows. Unbounded below."""

    alpha: float = 10.0
    """Weight of the loss on retain rows. It must outweigh the ascent, which has no minimum; with the paper's 1 a small
    model breaks down within 20 steps."""

    def objective(self) -> Objective:
        """Three forward passes a step, one of them without gradient."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            forget_loss = gradient_ascent(*sequence_nll(model, forget))
            return self.gamma * forget_loss + self.alpha * retain_loss("kl", model, retain, reference)

        return loss
