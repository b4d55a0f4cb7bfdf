"""Attention spread: are rows that the model attends to more evenly memorized more, within one and the same task?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

The paper compares tasks: five points, where task, length and data change together. Here rows of one task are compared:
the mean normalised entropy over all layers and heads against how much more likely fine-tuning made the row's output
than the base model finds it; then the same with length, base loss and copies held fixed; then what attention adds, out
of sample, to loss, zlib, gain over base and length in predicting which rows are extracted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from remanence.replications.five_tasks import ARM, FiveTasks
from remanence.replications.frame.experiment import Part
from remanence.replications.frame.figure import Figure, Figures, Row, difference, number
from remanence.stats.intervals import Interval

ALONE, FIXED = "within tasks", "with length, base loss and copies held fixed"


@dataclass(frozen=True)
class AttentionSpread(FiveTasks):
    """The claim holds when the pooled rank correlation is above 0 (95 % interval), alone and with length, base loss and
    copies held fixed; it does not when one of the two is below 0."""

    claim = "Within a task, rows with flatter attention are memorized more."
    system = "attention"

    def measure(self, trained: dict[str, Any], shared: None, seed: int) -> Row:
        """Rank correlations of entropy with gain, pooled over tasks, and what attention adds to other scores."""
        attention = trained["attention"]
        row: Row = {}
        for statistic, prefix in (("entropy", ""), ("base_entropy", "base model, ")):
            lines = [line for line in attention["pooled"] if line["statistic"] == statistic]
            row |= {prefix + (FIXED if line["held_fixed"] else ALONE): interval(line, "rho") for line in lines}
        (added,) = attention["added"]
        (mixed,) = [line for line in attention["mixed"] if line["term"] == "attention entropy"]
        return row | {
            "AUC without attention": number(_number(added["auc_without"]), n=added["n"]),
            "AUC with attention": number(_number(added["auc_with"]), n=added["n"]),
            "attention adds to the AUC": interval(added, "difference"),
            "mixed model, per standard deviation": interval(mixed, "estimate"),
        }

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; the base model, which was not trained on the rows, is reported beside it."""
        row = figures[ARM]
        base = row[f"base model, {FIXED}"]
        return [
            Part("There are rows enough to correlate", not any(math.isnan(row[c].value) for c in (ALONE, FIXED)),
                 "too few rows to correlate", "control"),
            *(Part(f"The correlation is positive {c}", row[c].above(0), f"Rank correlation {c}: {row[c]}")
              for c in (ALONE, FIXED)),
            Part("The base model's attention has no such correlation", base.below(0),
                 f"The base model's own attention, likewise: {base}", "beside"),
            Part("Attention adds to other scores", row["attention adds to the AUC"].above(0),
                 f"Attention adds {row['attention adds to the AUC']} to an AUC of "
                 f"{row['AUC without attention'].short}", "beside"),
        ]  # fmt: skip


def interval(line: dict[str, Any], key: str) -> Figure:
    """A figure of the study's attention verdict; NaN where there is none."""
    if line[key] is None:
        return Figure(math.nan, kind="difference")
    return difference(line[key], Interval(line["low"], line["high"]), line.get("n"))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
