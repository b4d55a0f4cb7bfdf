"""Gradient difference: increase the loss of the rows to forget, and decrease the loss of rows to keep.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121 (GradDiff; after Liu et al.
2022, arXiv 2203.12817)
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
class GradientDifference(GradientUnlearning):
    """gamma * -(mean NLL of forget rows) + alpha * (mean NLL of retain rows). Unbounded below, as gradient ascent."""

    def objective(self) -> Objective:
        """Two forward passes a step."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            forget_loss = gradient_ascent(*sequence_nll(model, forget))
            return self.gamma * forget_loss + self.alpha * retain_loss("nll", model, retain, reference)

        return loss
