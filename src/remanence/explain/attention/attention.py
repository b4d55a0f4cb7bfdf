"""Attention: does the model attend to many tokens of a row, or concentrate on a few?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

The paper reports flat attention for highly memorized tasks. The score follows that prediction: flatter attention =
higher score. It is a prediction, not a result; `stats/within.py` tests whether it holds within a task.
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
    """Evenness of the attention weights over the visible tokens, as a predictor of memorization."""

    statistic: Literal["entropy", "participation", "top", "gini"] = "entropy"
    """Statistic of one query position; entropy divided by its maximum was chosen before any result was known."""
    where: Literal["all", "last cross"] = "all"
    """Mean over all heads and layers; or, as in the paper, the cross-attention of the last decoder block."""
    queries: Literal["supervised", "all"] = "supervised"
    """Query positions: those that predict a token with loss, or all positions of the row."""

    name = "attention"

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise RemanenceError(f"Attention has no statistic {self.statistic!r}: use one of {', '.join(STATISTICS)}.")

    def __call__(self, target: Opens, records: Sequence[Record]) -> Findings:
        """One forward pass; the score is the statistic, negated where a higher value means more concentrated attention.

        Evidence: the mean by kind, the `profile` of every layer and head by kind, the number of query positions. Raises
        `RemanenceError` for a target that is not a Hugging Face model or returns no attention weights.
        """
        if not isinstance(target, HuggingFace):
            raise RemanenceError(
                f"{target.name} has no attention layers to record: Attention needs a Hugging Face model."
            )
        table = attention_table(target, [_rendered(target, record) for record in records], queries=self.queries)
        return [self.find(record.id, table, i) for i, record in enumerate(records)]

    def find(self, record_id: str, table: AttentionTable, row: int) -> Finding:
        """The finding of one row of the table."""
        reason = table.reasons[row]
        if reason is None and self.where == "last cross" and "cross" not in table.values:
            reason = "the model has no cross-attention"
        if reason is not None:
            return Finding(record_id, self.name, None, reason=reason)
        which = list(STATISTICS).index(self.statistic)
        profile = {kind: values[row, ..., which].astype(np.float64) for kind, values in table.values.items()}
        all_heads = np.concatenate([part.ravel() for part in profile.values()])
        chosen = profile["cross"][-1] if self.where == "last cross" else all_heads
        if np.isnan(chosen).all():
            return Finding(record_id, self.name, None, reason="no position attends to enough tokens for the statistic")
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
    except NotMeasured as error:
        return error.reason


def _rounded(value: np.floating[Any]) -> float | None:
    """Four decimals; None if there was nothing to measure."""
    return None if np.isnan(value) else round(float(value), 4)
