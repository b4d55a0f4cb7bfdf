"""NPO: treat the rows as dispreferred answers; the gradient of a row fades as it becomes unlikely.

Paper: Zhang et al. 2024, "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning", arXiv
2404.05868

Gradient ascent with an adaptive weight: a row's gradient decreases as the row becomes less likely than it was before.
Log-probabilities are SUMMED over a row, as in the paper; with their mean, as in one public benchmark, `beta` means
something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import GradientUnlearning, RetainLoss, retain_loss
from remanence.mitigate.unlearning.losses import npo_loss
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True, kw_only=True)
class NPO(GradientUnlearning):
    """gamma * -(2 / beta) mean log sigmoid(beta (s - s_ref)) + alpha * loss on retain rows."""

    beta: float = 0.03
    """Inverse temperature, per nat of a whole row; towards 0 it becomes gradient ascent. With the paper's 0.1 the
    gradient of a row of a hundred tokens vanishes while parts of it are still extracted."""
    alpha: float = 100.0
    """Weight of the loss on retain rows."""
    retain: RetainLoss = "kl"
    """Loss on retain rows: none, nll, or kl (to the model before unlearning)."""

    def objective(self) -> Objective:
        """The reference loss of the forget rows costs one more forward pass, without gradient."""

        def loss(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
            ref_B = sequence_nll(model, forget, reference).sum_B
            forget_loss = npo_loss(sequence_nll(model, forget).sum_B, ref_B, self.beta)
            return self.gamma * forget_loss + self.alpha * retain_loss(self.retain, model, retain, reference)

        return loss
