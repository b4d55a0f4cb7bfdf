"""KL retain: train backwards on the rows to forget, and say of rows to keep what the model said before.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121 (KL minimization)

What was before is the start of the same model, so rows to keep need not have been trained on: any text will do that
the model should go on treating as it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.losses import gradient_ascent
from remanence.mitigate.unlearning.steps import Steps, retain_loss
from remanence.training.reference import ReferenceModel
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import Objective


@dataclass(frozen=True, kw_only=True)
class KLRetain(Steps):
    """gamma * -(mean NLL of forget rows) + alpha * KL(start || model) on retain rows. Unbounded below."""

    alpha: float = 10.0
    """The ascent has no end, so the hold must outweigh it; with the paper's 1 a small model falls apart in 20 steps."""

    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, those of retain are held on to."""
        return apply_unlearning(
            target, records, self.optimize, "kl_retain", self.limit, needs=self.wants, seed=self.seed
        )

    def objective(self) -> Objective:
        """Three forward passes a step, one of them without gradient."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            away = gradient_ascent(*sequence_nll(model, forget))
            return self.gamma * away + self.alpha * retain_loss("kl", model, retain, start)

        return loss
