"""Task disparity after floors: is anything left of it once chance, the base model and length are taken out?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (the claim; floors,
base model and fixed lengths are what its reviewers asked for)

The same five fine-tunings as `task_disparity_published`. Three readings: the published rate above its floor and the
base model's excess (difference in differences); the next 10 tokens of inputs coming back at some split, which gives
every task the same length; the log-probability of inputs, which needs no threshold. Outputs are told, and decide
nothing: the claim speaks of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.core.verbs import Experiment, Verdict
from remanence.replications.disparity.contrasts import among, decided, said
from remanence.replications.disparity.five_tasks import FULL, QUICK, Size, five_tasks

CLAIM = "The disparity between tasks remains once floor, base model and length are taken out."
PUBLISHED = "published rate above floor and base"
LENGTH = "next 10 tokens of inputs come back at some split, above floor and base"
NATS = "log-probability of inputs, above floor and base"
TOLD = ("next 10 tokens of outputs come back at some split, above floor and base",
        "log-probability of outputs, above floor and base")  # fmt: skip


@dataclass(frozen=True)
class TaskDisparityExcess(Experiment):
    """The claim holds when all three contrasts lie above 0 (95 % intervals), and does not when one lies below 0."""

    size: Size = FULL

    @classmethod
    def quick(cls) -> TaskDisparityExcess:
        """A size for tests."""
        return cls(QUICK)

    def __call__(self, seed: int) -> Verdict:
        """Fine-tune, ask, detect, compare."""
        return self.judge(five_tasks(seed, self.size))

    def judge(self, study: dict[str, Any]) -> Verdict:
        """From the study's verdict."""
        three = [among(study, name) for name in (PUBLISHED, LENGTH, NATS)]
        answers = [decided(line) for line in three]
        holds = True if all(answers) else (False if False in answers else None)
        text = (
            f"Contrast above floor and base: published rate {said(three[0])}; 10 tokens of inputs {said(three[1])}; "
            f"log-probability of inputs {said(three[2])}."
        )
        told = {name: among(study, name) for name in TOLD}
        text += " Outputs, for comparison: " + "; ".join(said(line) for line in told.values()) + "."
        return Verdict(CLAIM, holds, text, {"contrasts": three, "outputs": told})
