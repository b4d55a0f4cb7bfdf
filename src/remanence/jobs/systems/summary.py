"""What the scores of a run say: AUC, share above a threshold, excess, correlation with copies, rows ranked worst first.

The threshold is set by held-out rows alone: the lowest of their scores with at most a share `alpha` of them above it.
Base model and fine-tuned model have a threshold each, from the same held-out rows.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.jobs.systems.data import Data
from remanence.stats.correlation import rank_correlation
from remanence.stats.fdr import conformal_p_values
from remanence.stats.membership import auc_interval, roc_auc, threshold_at
from remanence.stats.rates import Rate, compare

NO_HELDOUT = "no held-out rows were given"
ROLES = ("tuned", "base")
RANKING = pa.schema(
    {
        "rank": pa.int32(),  # 1 = the highest score
        "row": pa.int32(),  # position in the training data, from 0
        "id": pa.string(),
        "score": pa.float64(),
        "base_score": pa.float64(),  # of the base model on the same row; null where there is none
        "above": pa.bool_(),  # above the threshold; null without one
        "p_value": pa.float64(),  # share of held-out rows that score as high, the row counted in; null without any
        "copies": pa.int32(),  # rows of the training data with this text, itself included
        "near": pa.int32(),  # other training rows that are nearly the same
        "evidence": pa.string(),  # JSON
    }
)
"""The training rows that have a score, worst first. `ranking.parquet`"""


@dataclass(frozen=True)
class Scores:
    """The scores of one target on both sides; NaN for rows that were not measured."""

    train: NDArray[np.float64]
    heldout: NDArray[np.float64] | None
    """Those of rows that stand in the training data left out."""

    @property
    def members(self) -> NDArray[np.float64]:
        """[N] scores of the measured training rows."""
        return self.train[~np.isnan(self.train)]

    @property
    def others(self) -> NDArray[np.float64]:
        """[M] scores of the measured held-out rows."""
        if self.heldout is None:
            raise NotMeasured(NO_HELDOUT)
        return self.heldout[~np.isnan(self.heldout)]


Line = Mapping[str, Any]


def scores_of(findings: Mapping[tuple[str, str], Sequence[Line]], data: Data) -> dict[str, Scores]:
    """The scores by target, from the lines of `findings.parquet` by (target, group)."""

    def column(lines: Sequence[Line]) -> NDArray[np.float64]:
        return np.array([math.nan if line["score"] is None else line["score"] for line in lines], np.float64)

    return {
        role: Scores(
            column(findings[role, "train"]),
            column(findings[role, "heldout"])[data.unseen_H] if (role, "heldout") in findings else None,
        )
        for role in ROLES
        if (role, "train") in findings
    }


def summary(scores: Mapping[str, Scores], copies: NDArray[np.int64], alpha: float) -> dict[str, Any]:
    """The figures of a run, JSON-ready; a figure that cannot be had is an object with the `reason`."""
    return {
        "auc": {role: _or_reason(lambda s=s: _auc(s)) for role, s in scores.items()},
        "share": _or_reason(lambda: _share(scores, alpha)),
        "copies": _or_reason(lambda: _copies(scores["tuned"], copies)),
    }


def _or_reason(figure: Any) -> dict[str, Any]:
    try:
        return figure()
    except NotMeasured as why:
        return {"reason": why.reason}


def _auc(scores: Scores) -> dict[str, Any]:
    low, high = auc_interval(scores.members, scores.others)
    n, m = int(scores.members.size), int(scores.others.size)
    return {"value": roc_auc(scores.members, scores.others), "low": low, "high": high, "train": n, "heldout": m}


def _share(scores: Mapping[str, Scores], alpha: float) -> dict[str, Any]:
    tuned = scores["tuned"]
    if not tuned.members.size:
        raise NotMeasured("no training row has a score")
    threshold = threshold_at(tuned.others, alpha)
    above = tuned.members > threshold
    measured = compare(above, tuned.others > threshold)
    found: dict[str, Any] = {
        "alpha": alpha,
        "threshold": threshold,
        "train": _rate(measured.measured),
        "heldout": None if measured.floor is None else _rate(measured.floor),
        "excess": None if measured.excess is None else asdict(measured.excess),
        "base": None,
        "excess_over_base": None,
    }
    if "base" in scores:
        with contextlib.suppress(NotMeasured):  # the base model may score too few held-out rows for a threshold
            found |= _over_base(tuned, scores["base"], threshold, threshold_at(scores["base"].others, alpha))
    return found


def _over_base(tuned: Scores, base: Scores, threshold: float, base_threshold: float) -> dict[str, Any]:
    """The base model on the rows that both models score."""
    both = ~np.isnan(tuned.train) & ~np.isnan(base.train)
    paired = compare(tuned.train[both] > threshold, base=base.train[both] > base_threshold)
    excess = paired.excess_over_base
    return {
        "base": None if paired.base is None else _rate(paired.base),
        "excess_over_base": None if excess is None else asdict(excess),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {"hits": rate.hits, "n": rate.n, "rate": rate.rate, "low": rate.low, "high": rate.high}


def _copies(scores: Scores, copies: NDArray[np.int64]) -> dict[str, Any]:
    known = ~np.isnan(scores.train)
    if known.any() and (copies[known] == copies[known][0]).all():
        raise NotMeasured("all measured rows stand in the data equally often")
    found = rank_correlation(scores.train[known], copies[known])
    return {"value": found.value, "low": found.interval.low, "high": found.interval.high, "n": found.n}


def reasons(lines: Sequence[Line]) -> dict[str, int]:
    """How many rows were not measured, by reason, most first."""
    counts = Counter(line["reason"] for line in lines if line["score"] is None)
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def ranking(
    findings: Mapping[tuple[str, str], Sequence[Line]],
    scores: Mapping[str, Scores],
    data: Data,
    share: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The lines of `ranking.parquet`."""
    lines = findings["tuned", "train"]
    threshold = share.get("threshold")
    base = [line["score"] for line in findings.get(("base", "train"), ())] or [None] * len(lines)
    tuned = scores["tuned"]
    known = np.flatnonzero(~np.isnan(tuned.train))
    p_values = np.full(len(lines), math.nan)
    if known.size and tuned.heldout is not None and tuned.others.size:
        p_values[known] = conformal_p_values(tuned.train[known], tuned.others)
    order = sorted(known.tolist(), key=lambda i: (-tuned.train[i], i))
    return [
        {
            "rank": rank,
            "row": lines[i]["row"],
            "id": lines[i]["id"],
            "score": lines[i]["score"],
            "base_score": base[i],
            "above": None if threshold is None else bool(lines[i]["score"] > threshold),
            "p_value": None if math.isnan(p_values[i]) else float(p_values[i]),
            "copies": int(data.copies[i]),
            "near": int(data.near[i]),
            "evidence": lines[i]["evidence"],
        }
        for rank, i in enumerate(order, 1)
    ]


# ------------------------------------------------------------------------------------------------------- sentences


def sentences(title: str, figures: Mapping[str, Any]) -> list[str]:
    """The figures in words: what tells training rows from held-out rows first."""
    return [
        _auc_sentence(title, figures["auc"]),
        *_share_sentences(figures["share"]),
        *_copies_sentence(figures["copies"]),
    ]


def _auc_sentence(title: str, auc: Mapping[str, Any]) -> str:
    tuned = auc["tuned"]
    if "reason" in tuned:
        return f"Whether {title} tells training rows from held-out rows was not measured: {tuned['reason']}."
    chance = "not distinguishable from chance" if tuned["low"] <= 0.5 <= tuned["high"] else "0.5 is chance"
    said = (
        f"{title} scores a training row above a held-out row with probability {tuned['value']:.3f} "
        f"(AUC, 95 % interval {tuned['low']:.3f} to {tuned['high']:.3f}; {chance})"
    )
    base = auc.get("base")
    return f"{said}; for the base model it is {base['value']:.3f}." if base and "value" in base else f"{said}."


def _share_sentences(share: Mapping[str, Any]) -> list[str]:
    if "reason" in share:
        return [f"No threshold was set: {share['reason']}."]
    train, held, excess = share["train"], share["heldout"], share["excess"]
    said = (
        f"Above the threshold that at most {100 * share['alpha']:g} % of held-out rows exceed: {train['hits']:,} of "
        f"{train['n']:,} training rows ({_percent(train)}), {held['hits']:,} of {held['n']:,} held-out rows; the "
        f"excess is {100 * excess['value']:+.1f} points (95 % interval {100 * excess['low']:+.1f} to "
        f"{100 * excess['high']:+.1f})."
    )
    base = share["base"]
    if not base:
        return [said]
    return [said, f"For the base model it is {base['hits']:,} of {base['n']:,} of the same rows ({_percent(base)})."]


def _copies_sentence(copies: Mapping[str, Any]) -> list[str]:
    if "reason" in copies:
        return []
    return [
        f"Rank correlation of the score with the number of copies: {copies['value']:+.2f} "
        f"(95 % interval {copies['low']:+.2f} to {copies['high']:+.2f}, {copies['n']:,} rows)."
    ]


def _percent(rate: Mapping[str, Any]) -> str:
    return f"{100 * rate['rate']:.1f} %, 95 % interval {100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
