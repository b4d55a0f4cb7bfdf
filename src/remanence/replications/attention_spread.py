"""Attention spread: are rows that the model attends to more evenly memorized more, within one and the same task?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

The paper compares tasks: five points, where task, length and data change together. Here rows of one task are compared:
the mean normalised entropy over all layers and heads against how much more likely fine-tuning made the row's output
than the base model finds it; then the same with length, base loss and copies held fixed; then what attention adds, out
of sample, to loss, zlib, gain over base and length in telling which rows come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.core.verbs import Experiment, Verdict
from remanence.replications.disparity.five_tasks import FULL, QUICK, Size, five_tasks

CLAIM = "Within a task, rows with flatter attention are memorized more."


@dataclass(frozen=True)
class AttentionSpread(Experiment):
    """The claim holds when the pooled rank correlation is above 0 (95 % interval), alone and with length, base loss and
    copies held fixed; it does not when one of the two is below 0."""

    size: Size = FULL

    @classmethod
    def quick(cls) -> AttentionSpread:
        """A size for tests."""
        return cls(QUICK)

    def __call__(self, seed: int) -> Verdict:
        """Fine-tune, look at attention, compare."""
        return self.judge(five_tasks(seed, self.size))

    def judge(self, study: dict[str, Any]) -> Verdict:
        """From the study's verdict."""
        attention = study["attention"]
        both = [line for line in attention["pooled"] if line["statistic"] == "entropy"]
        if any(line["rho"] is None for line in both):
            return Verdict(CLAIM, None, "Too few rows to correlate.", {"attention": attention})
        low, high = [line["low"] for line in both], [line["high"] for line in both]
        holds = True if min(low) > 0 else (False if min(high) < 0 else None)
        control = next(line for line in attention["pooled"] if line["statistic"] == "base_entropy")
        text = (
            attention["sentences"][0] + f" The base model's own attention on the same rows: rho {control['rho']:+.2f}."
        )
        return Verdict(CLAIM, holds, text, {"attention": attention})
