"""NPO: push the rows away as an answer that is not preferred, and let go of those that have gone far.

Paper: Zhang et al. 2024, "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning", arXiv
2404.05868

Gradient ascent with a brake: a row's pull fades as it becomes less likely than it was at the start. Log-probabilities
are SUMMED over a row, as in the paper; with their mean, which one public benchmark took, `beta` means another thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.losses import npo_loss
from remanence.mitigate.unlearning.steps import Retain, Steps, retain_loss
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@dataclass(frozen=True, kw_only=True)
class NPO(Steps):
    """gamma * -(2 / beta) mean log sigmoid(beta (s - s_start)) + alpha * what holds on to the retain rows."""

    beta: float = 0.03
    """Strength of the brake, per nat of a whole row; towards 0 it is gradient ascent. At the paper's 0.1 a row
    of a hundred tokens is let go while parts of it still come back."""
    alpha: float = 100.0
    retain: Retain = "kl"

    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, those of retain are held on to."""
        return apply_unlearning(target, records, self.optimize, "npo", self.limit, needs=self.wants, seed=self.seed)

    def objective(self) -> Objective:
        """The start's loss of the forget rows costs one more forward pass, without gradient."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            ref_B = sequence_nll(model, forget, start).sum_B
            away = npo_loss(sequence_nll(model, forget).sum_B, ref_B, self.beta)
            return self.gamma * away + self.alpha * retain_loss(self.retain, model, retain, start)

        return loss
