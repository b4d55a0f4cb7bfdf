"""An experiment in which everything is known: coins, tossed a number of times.

Paper: none; it is a toy for the tests of the frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figures, Row, paired, share


@dataclass(frozen=True)
class Coins(Experiment):
    """The claim holds when the bent coin shows heads more often than the fair one (95 % interval above 0)."""

    claim = "A bent coin shows heads more often."
    system = "coin"
    sizes: ClassVar = {"quick": {"tosses": 20}}

    tosses: int = 200
    bent: float = 0.9
    fair: float = 0.5

    def shared(self, seed: int) -> Any:
        """One draw per toss, the same for every coin."""
        return np.random.default_rng(seed).random(self.tosses)

    def arms(self) -> dict[str, float]:
        """Coin -> probability of heads."""
        return {"fair": self.fair, "bent": self.bent}

    def train(self, arm: float, shared: Any, seed: int) -> Any:
        """The tosses."""
        return shared < arm

    def measure(self, trained: Any, shared: Any, seed: int) -> Row:
        """How often heads came up."""
        return {"heads": share(trained)}

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Bent minus fair."""
        return {"bent minus fair": {"heads": paired(figures["bent"]["heads"], figures["fair"]["heads"], seed)}}

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; a fair coin that is not fair decides nothing."""
        fair, gap = figures["fair"]["heads"], figures["bent minus fair"]["heads"]
        return [
            Part("The fair coin is fair", fair.low < 0.5 < fair.high, f"the fair coin shows {fair} heads", "control"),
            Part("The bent coin shows more", gap.above(0), f"Heads, bent minus fair: {gap}"),
        ]
