"""An example is one unit of data that is not text: an image, a row of features, a point, with its labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.record import Group


@dataclass(frozen=True, eq=False)
class Example:
    """One training example of a classifier, an image model or a click-through model."""

    id: str
    array: NDArray[Any] = field(repr=False)
    """The input as the model takes it, without a batch axis."""
    label: int | None = None
    """The true class; None where there is none or it is not known."""
    given_label: int | None = None
    """The class that training used; None = the true one. It differs from `label` where the label is noise."""
    group: Group = "train"

    @property
    def trained_label(self) -> int | None:
        """The class that the model was trained on."""
        return self.label if self.given_label is None else self.given_label

    @property
    def mislabeled(self) -> bool:
        """Whether the given label is known to differ from the true one."""
        return self.label is not None and self.trained_label != self.label

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Example):
            return NotImplemented
        same = (self.id, self.label, self.given_label, self.group) == (
            other.id, other.label, other.given_label, other.group,
        )  # fmt: skip
        return same and self.array.dtype == other.array.dtype and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.id, self.label, self.given_label, self.group))
