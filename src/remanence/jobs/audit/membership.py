"""How well likelihood tells training rows from held-out ones, beside the base model and a classifier that sees none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from remanence.core.errors import NotMeasured
from remanence.core.schema import MEMBERSHIP
from remanence.core.verbs import LACKING
from remanence.jobs.audit.answered import NEEDS
from remanence.jobs.audit.findings import Findings
from remanence.stats.blind import blind_membership
from remanence.stats.member_counts import MemberCounts
from remanence.stats.membership import MembershipQuality

FPRS = (0.1, 0.01, 0.001)
"""False-positive rates to report the true-positive rate at, where the held-out rows allow it."""


def quality_lines(
    members: Mapping[tuple[str, str], MemberCounts], measures: Sequence[str], reasons: Mapping[tuple[str, str], str]
) -> list[dict[str, Any]]:
    """The lines of `membership.parquet` for both models: one per (target, measure, FPR).

    `reasons`: why nothing could be measured, where that is the same for all rows (`shared_reasons`).
    """
    lines: list[dict[str, Any]] = []
    for role in ("tuned", "base"):
        for measure in measures:
            counts = members.get((role, measure))
            if counts is None:
                continue
            start: dict[str, Any] = {"target": role, "measure": measure}
            if reason := reasons.get((role, measure)):
                lines += lines_of(start | {"num_members": 0, "num_nonmembers": 0}, reason)
                continue
            start |= {"num_members": counts.num_members, "num_nonmembers": counts.nonmembers.size}
            try:
                lines += lines_of(start, counts.quality(FPRS))
            except NotMeasured as why:
                lines += lines_of(start, why.reason)
    return lines


def shared_reasons(found: Findings, measures: Sequence[str]) -> dict[tuple[str, str], str]:
    """(role, measure) -> why no training row has a score, where the model does not give what the measure needs."""
    reasons: dict[tuple[str, str], str] = {}
    for role in ("tuned", "base"):
        for measure in measures:
            findings = found[role, "train"].by_measure.get(measure, []) if (role, "train") in found else []
            known = {f.reason or "" for f in findings if f.reason == NEEDS or LACKING in (f.reason or "")}
            if known and all(f.score is None for f in findings):
                reasons[role, measure] = min(known)
    return reasons


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
