"""Gradient difference: train backwards on the rows to forget, and forwards on rows to keep.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121 (GradDiff; after Liu et al.
2022, arXiv 2203.12817)
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
class GradientDifference(Steps):
    """gamma * -(mean NLL of forget rows) + alpha * (mean NLL of retain rows). Unbounded below, as gradient ascent."""

    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target after the best of its steps; records of the group forget go, those of retain are trained on."""
        return apply_unlearning(
            target, records, self.optimize, "gradient_difference", self.limit, needs=self.wants, seed=self.seed
        )

    def objective(self) -> Objective:
        """Two forward passes a step."""

        def loss(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
            away = gradient_ascent(*sequence_nll(model, forget))
            return self.gamma * away + self.alpha * retain_loss("nll", model, retain, start)

        return loss
