"""Task disparity as published: do summarization and dialogue stand above the other tasks by the published rate?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

Five fine-tunings of one decoder on invented cases, one per task, with loss on inputs too, as published. The model goes
on with the beginnings of training inputs (at most 50 tokens) for 100 tokens, and the published detector, defects
included, says how many answers it finds in some training input. No floor is taken off here: `task_disparity_excess`
does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.core.verbs import Experiment, Verdict
from remanence.replications.disparity.contrasts import among, decided, said
from remanence.replications.disparity.five_tasks import FULL, QUICK, Size, five_tasks

CLAIM = "By the published rate, summarization and dialogue memorize more than QA, translation and sentiment."


@dataclass(frozen=True)
class TaskDisparityPublished(Experiment):
    """The claim holds when the mean rate of the two is above that of the three (95 % interval above 0), and does not
    when the interval is below 0."""

    size: Size = FULL

    @classmethod
    def quick(cls) -> TaskDisparityPublished:
        """A size for tests."""
        return cls(QUICK)

    def __call__(self, seed: int) -> Verdict:
        """Fine-tune, ask, detect, compare."""
        return self.judge(five_tasks(seed, self.size))

    def judge(self, study: dict[str, Any]) -> Verdict:
        """From the study's verdict."""
        rate = among(study, "published rate")
        lines = [
            line
            for line in study["effects"]
            if (line["metric"], line["side"], line["copies"]) == ("published", "input", "all")
        ]
        table = ", ".join(f"{line['task']} {_share(line, '')} (floor {_share(line, 'floor_')})" for line in lines)
        text = f"The contrast of the published rates is {said(rate)}. Rates: {table}."
        return Verdict(CLAIM, decided(rate), text, {"contrast": rate, "rates": lines})


def _share(line: dict[str, Any], side: str) -> str:
    value = line[f"{side}rate"]
    return "not measurable" if value is None else f"{value:.0%} of {line[f'{side}n']}"
