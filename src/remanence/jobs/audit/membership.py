"""How well likelihood tells training rows from held-out ones, beside the base model and a classifier that sees none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.schema import MEMBERSHIP
from remanence.core.verbs import LACKING
from remanence.jobs.audit.answered import NEEDS
from remanence.jobs.audit.findings import Found
from remanence.stats.blind import blind_membership
from remanence.stats.membership import MembershipQuality, membership_quality

FPRS = (0.1, 0.01, 0.001)
"""False-positive rates to report the true-positive rate at, where the held-out rows allow it."""


def quality_lines(
    found: dict[tuple[str, str], Found], keep_H: NDArray[np.bool_], measures: Sequence[str]
) -> list[dict[str, Any]]:
    """The lines of `membership.parquet` for both models: one per (target, measure, FPR)."""
    out: list[dict[str, Any]] = []
    for role in ("tuned", "base"):
        if (role, "heldout") not in found:
            continue
        for measure in measures:
            if measure not in found[role, "train"].by_measure:
                continue
            members = found[role, "train"].scores(measure)
            others = found[role, "heldout"].scores(measure)[keep_H]
            if np.isnan(members).all() and (why := _same_reason(found[role, "train"], measure)):
                start = {"target": role, "measure": measure, "num_members": 0, "num_nonmembers": 0}
                out += lines_of(start, why)
                continue
            out += _quality(role, measure, members[~np.isnan(members)], others[~np.isnan(others)])
    return out


def _same_reason(found: Found, measure: str) -> str | None:
    """Why no row has a score, where that is because the model does not give what the measure needs."""
    reasons = {f.reason for f in found.by_measure[measure] if f.reason in {NEEDS} or LACKING in (f.reason or "")}
    return next(iter(sorted(reason for reason in reasons if reason)), None)


def _quality(role: str, measure: str, members: Any, others: Any) -> list[dict[str, Any]]:
    start: dict[str, Any] = {
        "target": role,
        "measure": measure,
        "num_members": members.size,
        "num_nonmembers": others.size,
    }
    try:
        quality = membership_quality(members, others, FPRS)
    except NotMeasured as why:
        return lines_of(start, why.reason)
    return lines_of(start, quality)


def lines_of(start: dict[str, Any], quality: MembershipQuality | str) -> list[dict[str, Any]]:
    """One line per FPR, each beginning with `start`; a string says why nothing was measured."""
    if isinstance(quality, str):
        return [{**start, "fpr": fpr, "reason": quality} for fpr in FPRS]
    interval = quality.auc_interval
    start = start | {"auc": quality.auc, "auc_low": interval.low, "auc_high": interval.high}
    reached = {at.asked: at for at in quality.tpr_at}
    out: list[dict[str, Any]] = []
    for fpr in FPRS:
        if fpr not in reached:
            out.append({**start, "fpr": fpr, "reason": quality.refused[fpr]})
            continue
        hits, false = reached[fpr].true_positives, reached[fpr].false_positives
        tpr = {"fpr_realised": false.rate, "tpr": hits.rate, "tpr_low": hits.low, "tpr_high": hits.high}
        out.append({**start, "fpr": fpr, **tpr})
    return out


def blind_line(train: Sequence[str], heldout: Sequence[str], seed: int) -> dict[str, Any]:
    """The line of the classifier that never sees a model."""
    start: dict[str, Any] = {"target": "blind", "measure": "bag of words"}
    try:
        blind = blind_membership(train, heldout, seed)
    except NotMeasured as why:
        return {**start, "num_members": len(train), "num_nonmembers": len(heldout), "reason": why.reason}
    return {
        **start,
        "num_members": blind.n_train,
        "num_nonmembers": blind.n_heldout,
        "auc": blind.auc,
        "auc_low": blind.interval.low,
        "auc_high": blind.interval.high,
    }


def to_arrow(lines: list[dict[str, Any]]) -> pa.Table:
    """`membership.parquet`."""
    return pa.Table.from_pylist(lines, schema=MEMBERSHIP)
