"""Plagdet: agreement of detected passages with the true ones, from precision, recall and granularity.

Paper: Potthast et al. 2010, "An Evaluation Framework for Plagiarism Detection", COLING 2010. The macro version, with
which PAN 2013 and 2014 rank: every case counts the same, whatever its length. Characters are counted on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Passages(NamedTuple):
    """A passage of one text that is also in another: half-open character spans on both sides."""

    susp_start: int
    susp_end: int
    src_start: int
    src_end: int


class Plagdet(NamedTuple):
    """The four scores; precision and recall are 0 if there is nothing to average; granularity is then 1."""

    plagdet: float
    """F1 / log2(1 + granularity), in [0, 1]; higher = better."""
    precision: float
    """Mean over detections of the share of their characters that lies in the cases they detect."""
    recall: float
    """Mean over cases of the share of their characters that lies in detections of them."""
    granularity: float
    """Mean number of detections per detected case, at least 1; lower = better."""
    num_cases: int
    num_detections: int


def plagdet(cases: Sequence[Sequence[Passages]], detections: Sequence[Sequence[Passages]]) -> Plagdet:
    """Scores of `detections` against `cases`; element i of both belongs to the same pair of texts.

    A detection counts for a case only if it overlaps it on both sides. ValueError if the two differ in length.
    """
    if len(cases) != len(detections):
        raise ValueError(f"cases and detections speak of the same pairs, got {len(cases)} and {len(detections)}")
    recalls: list[float] = []
    precisions: list[float] = []
    counts: list[int] = []
    for true, found in zip(cases, detections, strict=True):
        for case in true:
            hits = [d for d in found if _detects(d, case)]
            recalls.append(_covered(case, hits))
            if hits:
                counts.append(len(hits))
        precisions += [_covered(d, [case for case in true if _detects(d, case)]) for d in found]
    precision, recall = _mean(precisions), _mean(recalls)
    granularity = _mean(counts) if counts else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Plagdet(f1 / math.log2(1 + granularity), precision, recall, granularity, len(recalls), len(precisions))


def _detects(detection: Passages, case: Passages) -> bool:
    """Whether the two overlap on both sides."""
    on_susp = detection.susp_start < case.susp_end and case.susp_start < detection.susp_end
    return on_susp and detection.src_start < case.src_end and case.src_start < detection.src_end


def _covered(whole: Passages, parts: Sequence[Passages]) -> float:
    """Share of the characters of `whole`, both sides, that lies in any of `parts`."""
    susp = _overlap(whole.susp_start, whole.susp_end, ((p.susp_start, p.susp_end) for p in parts))
    src = _overlap(whole.src_start, whole.src_end, ((p.src_start, p.src_end) for p in parts))
    length = whole.susp_end - whole.susp_start + whole.src_end - whole.src_start
    return (susp + src) / length if length else 0.0


def _overlap(start: int, end: int, spans: Iterable[tuple[int, int]]) -> int:
    """Characters of [start, end) that lie in any span."""
    covered, reached = 0, start
    for a, b in sorted(spans):
        a, b = max(a, reached), min(b, end)
        if a < b:
            covered, reached = covered + b - a, b
    return covered


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
