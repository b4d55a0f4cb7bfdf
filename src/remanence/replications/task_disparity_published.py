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

from remanence.replications.five_tasks import ARM, FiveTasks, contrast
from remanence.replications.frame.experiment import Part
from remanence.replications.frame.figure import Figure, Figures, Row

RATE = "published rate"
COLUMNS = {
    "rows trained on": "",
    "unseen rows": "floor_",
    "base model": "base_",
    "the rows' own continuations": "ceiling_",
}


@dataclass(frozen=True)
class TaskDisparityPublished(FiveTasks):
    """The claim holds when the mean rate of the two is above that of the three (95 % interval above 0), and does not
    when the interval is below 0."""

    claim = "By the published rate, summarization and dialogue memorize more than QA, translation and sentiment."

    def measure(self, trained: dict[str, Any], shared: None, seed: int) -> Row:
        """The contrast."""
        rate = contrast(trained, RATE)
        return {RATE: Figure(rate.value, rate.low, rate.high, unit=rate.unit, kind=rate.kind, sample=trained)}

    def compare(self, figures: Figures, seed: int) -> Figures:
        """The rates of every task, with floor, base model and ceiling."""
        effects = [
            line
            for line in figures[ARM][RATE].sample["effects"]
            if (line["metric"], line["side"], line["copies"]) == ("published", "input", "all")
        ]
        return {line["task"]: {c: rate(line, prefix) for c, prefix in COLUMNS.items()} for line in effects}

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states."""
        difference = figures[ARM][RATE]
        rates = [
            f"{task} {row['rows trained on'].short} (unseen rows {row['unseen rows'].short})"
            for task, row in figures.items()
            if task != ARM
        ]
        return [
            Part("The published rate is higher", difference.above(0),
                 f"Published rates, high minus low: {difference}; {', '.join(rates)}")
        ]  # fmt: skip


def rate(line: dict[str, Any], prefix: str) -> Figure:
    """One rate of a row of `effects.parquet`."""
    value, low, high, n = (line[f"{prefix}{key}"] for key in ("rate", "low", "high", "n"))
    return Figure(float("nan"), n=n, kind="share") if value is None else Figure(value, low, high, n, kind="share")
