"""Attention: does the model look widely over the row while it says it, or at a few tokens?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

That study holds that flat attention goes with high memorization. The score follows its prediction, flatter = higher; it
is a prediction and no finding: whether it holds within a task is what `stats/within.py` is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.core.target import Opens
from remanence.core.verbs import Findings, Measure
from remanence.explain.attention.capture import attention_table
from remanence.explain.attention.statistics import FLAT, STATISTICS
from remanence.explain.attention.table import AttentionTable
from remanence.models.huggingface import HuggingFace


@dataclass(frozen=True)
class Attention(Measure):
    """How evenly the model spreads its look over the tokens it may see, as a prediction of memorization."""

    statistic: Literal["entropy", "participation", "top", "gini"] = "entropy"
    """Of one query position; entropy over its maximum is what was fixed before any result was seen."""
    where: Literal["all", "last cross"] = "all"
    """Mean over all heads and layers; or the paper's own choice, the cross-attention of the last decoder block."""
    queries: Literal["supervised", "all"] = "supervised"
    """Positions that look: those that predict a token that carries loss, or all of the row."""

    name = "attention"

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise RemanenceError(f"Attention has no statistic {self.statistic!r}: use one of {', '.join(STATISTICS)}.")

    def __call__(self, target: Opens, records: Sequence[Record]) -> Findings:
        """One pass; the score is the statistic, sign turned where a higher one means more pointed.

        Evidence: the mean by kind, the `profile` of every layer and head by kind, the positions it is over. Raises
        `RemanenceError` for a target that is no Hugging Face model or hands out no attention weights.
        """
        if not isinstance(target, HuggingFace):
            raise RemanenceError(f"{target.name} cannot be listened to: Attention needs a Hugging Face model.")
        table = attention_table(target, [_rendered(target, record) for record in records], queries=self.queries)
        return [self.find(record.id, table, i) for i, record in enumerate(records)]

    def find(self, record_id: str, table: AttentionTable, row: int) -> Finding:
        """What the table says of one row."""
        reason = table.reasons[row]
        if reason is None and self.where == "last cross" and "cross" not in table.values:
            reason = "the model has no cross-attention"
        if reason is not None:
            return Finding(record_id, self.name, None, reason=reason)
        which = list(STATISTICS).index(self.statistic)
        profile = {kind: values[row, ..., which].astype(np.float64) for kind, values in table.values.items()}
        every = np.concatenate([part.ravel() for part in profile.values()])
        chosen = profile["cross"][-1] if self.where == "last cross" else every
        if np.isnan(chosen).all():
            return Finding(record_id, self.name, None, reason="no position sees enough tokens to look wide or narrow")
        evidence = {
            "statistic": self.statistic,
            "mean": {kind: _rounded(np.nanmean(v)) for kind, v in profile.items() if not np.isnan(v).all()},
            "profile": {kind: [[_rounded(x) for x in heads] for heads in v] for kind, v in profile.items()},
            "queries": {kind: int(queries[row]) for kind, queries in table.queries.items()},
            "notes": list(table.notes),
        }
        return Finding(record_id, self.name, FLAT[self.statistic] * float(np.nanmean(chosen)), evidence)


def _rendered(target: HuggingFace, record: Record) -> Rendered | str:
    try:
        return target.render(record)
    except NotMeasured as why:
        return why.reason


def _rounded(value: np.floating[Any]) -> float | None:
    """Four digits, for reading; None where there was nothing to measure."""
    return None if np.isnan(value) else round(float(value), 4)
