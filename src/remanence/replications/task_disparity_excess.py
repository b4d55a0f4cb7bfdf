"""Task disparity after floors: is anything left of it once chance, the base model and length are taken out?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (the claim; floors,
base model and fixed lengths are what its reviewers asked for)

The same five fine-tunings as `task_disparity_published`. Three readings: the published rate above its floor and the
base model's excess (difference in differences); the next 10 tokens of inputs coming back at some split, which gives
every task the same length; the log-probability of inputs, which needs no threshold. Outputs are reported beside,
and decide nothing: the claim speaks of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.replications.five_tasks import ARM, FiveTasks, contrast
from remanence.replications.frame.experiment import Part
from remanence.replications.frame.figure import Figures, Row

COLUMNS = {
    "published rate": "published rate above floor and base",
    "10 tokens of inputs": "next 10 tokens of inputs come back at some split, above floor and base",
    "log-probability of inputs": "log-probability of inputs, above floor and base",
}
"""What decides, and its name in the study's verdict."""
OUTPUTS = {
    "10 tokens of outputs": "next 10 tokens of outputs come back at some split, above floor and base",
    "log-probability of outputs": "log-probability of outputs, above floor and base",
}


@dataclass(frozen=True)
class TaskDisparityExcess(FiveTasks):
    """The claim holds when all three contrasts lie above 0 (95 % intervals), and does not when one lies below 0."""

    claim = "The disparity between tasks remains once floor, base model and length are taken out."

    def measure(self, trained: dict[str, Any], shared: None, seed: int) -> Row:
        """All contrasts above floor and base model."""
        return {column: contrast(trained, name) for column, name in {**COLUMNS, **OUTPUTS}.items()}

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states."""
        row = figures[ARM]
        return [
            Part(f"{column.capitalize()}: more", row[column].above(0),
                 f"{column}, above floor and base, high minus low: {row[column]}".capitalize(),
                 "claim" if column in COLUMNS else "beside")
            for column in (*COLUMNS, *OUTPUTS)
            if column in row or column in COLUMNS
        ]  # fmt: skip
