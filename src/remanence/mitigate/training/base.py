"""Base class of the mitigations that work before or during training: they fine-tune the base model once more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from remanence.core.verbs import Mitigation
from remanence.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainedFromBase(Mitigation):
    """A mitigation whose target is the BASE model, which has not seen the records; records have the group train.

    Records of the group heldout are not trained on.
    """

    training: TrainingSettings = TrainingSettings(learning_rate=1e-3)
    """Training parameters; they should be those of the model that is to be replaced."""
    out: str | None = None
    """Folder for the trained model. Default: it is kept in memory only."""

    trains_from_base: ClassVar[bool] = True
