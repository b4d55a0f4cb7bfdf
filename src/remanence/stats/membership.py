"""Membership: how well scores separate training rows from held-out rows, in particular at low false-positive rates.

Sources:
- Carlini et al. 2022, "Membership Inference Attacks From First Principles", arXiv 2112.03570: report the true-positive
  rate at a low false-positive rate, because an average over all rows hides the few that are recognized with certainty.
- DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44:837-845: the variance of the area under the ROC curve.
- Newcombe 2006, Statistics in Medicine 25:559-573 (method 5): an interval that is valid where DeLong's has no width.

Throughout, members [N] are scores of training rows and nonmembers [M] of held-out rows; HIGHER = more memorized.
-inf is allowed as the lowest score; NaN is a ValueError, because rows that were not measured must be left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from remanence.core.errors import NotMeasured
from remanence.stats.intervals import Interval
from remanence.stats.rates import Rate

Floats = NDArray[np.floating[Any]]

MIN_FALSE_POSITIVES = 3
"""A false-positive rate needs held-out rows for this many expected false positives: 300 for 1 %, 3,000 for 0.1 %.

With fewer, even zero false positives would not bound the true rate by the requested one at 95 % (rule of three).
"""


class RocCurve(NamedTuple):
    """The corners of the ROC curve, from (0, 0) to (1, 1)."""

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]


@dataclass(frozen=True)
class TprAtFpr:
    """True-positive rate at a false-positive rate of at most `asked`."""

    asked: float
    threshold: float
    """A row is classified as a member if its score is strictly above this held-out score."""
    true_positives: Rate
    """Members above the threshold; its rate is the TPR. The interval treats the threshold as fixed."""
    false_positives: Rate
    """Non-members above the threshold; its rate is the measured FPR, at most `asked`."""


@dataclass(frozen=True)
class MembershipQuality:
    """How well one score separates members from non-members."""

    num_members: int
    num_nonmembers: int
    auc: float
    """0.5 = chance, 1 = every member has a higher score than every non-member."""
    auc_interval: Interval
    advantage: float
    tpr_at: tuple[TprAtFpr, ...]
    """One for each false-positive rate with enough held-out rows."""
    refused: Mapping[float, str] = field(default_factory=dict[float, str])
    """The other false-positive rates, each with the reason."""


def roc_auc(member_scores: Floats, nonmember_scores: Floats) -> float:
    """Probability that a random member has a higher score than a random non-member, ties count one half; in [0, 1].

    Raises `NotMeasured` if one side has no rows.
    """
    above, _ = _placements(*_checked(member_scores, nonmember_scores))
    return float(above.mean())


def auc_interval(member_scores: Floats, nonmember_scores: Floats, level: float = 0.95) -> Interval:
    """Interval of `roc_auc`: DeLong's variance on the logit scale, so that the ends stay inside (0, 1).

    Where that variance is zero or unknown (perfect separation, all scores equal, one row on a side) it is Newcombe's
    method 5, which depends only on the area and the two counts and always has a width.
    """
    members, nonmembers = _checked(member_scores, nonmember_scores)
    above, below = _placements(members, nonmembers)
    variance = 0.0
    if min(members.size, nonmembers.size) > 1:
        variance = float(above.var(ddof=1) / members.size + below.var(ddof=1) / nonmembers.size)
    return delong_interval(float(above.mean()), variance, members.size, nonmembers.size, level)


def delong_interval(area: float, variance: float, n: int, m: int, level: float = 0.95) -> Interval:
    """`auc_interval` of an area over n members and m non-members with DeLong's variance; 0 = zero or unknown."""
    z = float(stats.norm.ppf(0.5 + level / 2))
    if variance < 1e-18 or not 0 < area < 1:
        return _newcombe_auc(area, n, m, z)
    logit, half = math.log(area / (1 - area)), z * math.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + math.exp(min(700.0, half - logit))), 1 / (1 + math.exp(min(700.0, -half - logit)))
    return Interval(low, high)


def tpr_at_fpr(member_scores: Floats, nonmember_scores: Floats, fpr: float) -> TprAtFpr:
    """True-positive rate at a false-positive rate (share of non-members) of at most `fpr`.

    The threshold is the lowest held-out score with at most `fpr * M` held-out scores strictly above it. Raises
    `NotMeasured` when M * fpr < `MIN_FALSE_POSITIVES`, ValueError unless 0 < fpr < 1.
    """
    members, nonmembers = _checked(member_scores, nonmember_scores)
    threshold = threshold_at(nonmembers, fpr)
    return TprAtFpr(fpr, threshold, Rate.of(members > threshold), Rate.of(nonmembers > threshold))


def threshold_at(nonmembers: NDArray[np.float64], fpr: float) -> float:
    """The threshold of `tpr_at_fpr`, from the held-out scores [M]; raises the same errors."""
    if not 0 < fpr < 1:
        raise ValueError(f"a false-positive rate lies between 0 and 1, got {fpr}")
    if nonmembers.size * fpr < MIN_FALSE_POSITIVES - 1e-9:
        needed = math.ceil(MIN_FALSE_POSITIVES / fpr - 1e-9)
        raise NotMeasured(
            f"a false-positive rate of {100 * fpr:g} % needs at least {needed:,} held-out rows, got {nonmembers.size:,}"
        )
    allowed = math.floor(nonmembers.size * fpr + 1e-9)
    return float(np.sort(nonmembers)[nonmembers.size - 1 - allowed])


def advantage(member_scores: Floats, nonmember_scores: Floats) -> float:
    """max over thresholds of TPR - FPR, in [0, 1] (Yeom et al. 2018, arXiv 1709.01604).

    The best threshold is chosen on the same rows, so with few rows it is above 0 even for random scores.
    """
    members, nonmembers = _checked(member_scores, nonmember_scores)
    called_m, called_n = _called(members, nonmembers)
    return float((called_n / members.size - called_m / nonmembers.size).max())


def roc_curve_points(member_scores: Floats, nonmember_scores: Floats) -> RocCurve:
    """The ROC curve, one point per distinct score, without points on a straight line between others."""
    members, nonmembers = _checked(member_scores, nonmember_scores)
    called_m, called_n = _called(members, nonmembers)
    step_m, step_n = np.diff(called_m), np.diff(called_n)
    turns = step_m[:-1] * step_n[1:] != step_n[:-1] * step_m[1:]
    corner = np.concatenate(([True], turns, [True]))
    return RocCurve(called_m[corner] / nonmembers.size, called_n[corner] / members.size)


def membership_quality(
    members: Floats, nonmembers: Floats, fprs: Sequence[float] = (0.1, 0.01, 0.001), level: float = 0.95
) -> MembershipQuality:
    """AUC, advantage, and TPR at each FPR with enough held-out rows. Raises `NotMeasured` if a side is empty."""
    supported: list[TprAtFpr] = []
    refused: dict[float, str] = {}
    for fpr in fprs:
        try:
            supported.append(tpr_at_fpr(members, nonmembers, fpr))
        except NotMeasured as error:
            refused[fpr] = error.reason
    return MembershipQuality(
        num_members=int(np.size(members)),
        num_nonmembers=int(np.size(nonmembers)),
        auc=roc_auc(members, nonmembers),
        auc_interval=auc_interval(members, nonmembers, level),
        advantage=advantage(members, nonmembers),
        tpr_at=tuple(supported),
        refused=refused,
    )


def _checked(members: Floats, nonmembers: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ours, others = np.asarray(members, np.float64).ravel(), np.asarray(nonmembers, np.float64).ravel()
    if np.isnan(ours).any() or np.isnan(others).any():
        raise ValueError("membership needs scores without NaN; leave out the rows that could not be measured")
    if ours.size == 0 or others.size == 0:
        side = "training" if ours.size == 0 else "held-out"
        raise NotMeasured(f"membership needs training rows and held-out rows, and there is no {side} row")
    return ours, others


def _placements(
    members: NDArray[np.float64], nonmembers: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[N] share of non-members under each member, and [M] share of members over each non-member (ties one half)."""
    ranks = stats.rankdata(np.concatenate((members, nonmembers)))
    n, m = members.size, nonmembers.size
    above = (ranks[:n] - stats.rankdata(members)) / m
    below = 1.0 - (ranks[n:] - stats.rankdata(nonmembers)) / n
    return np.asarray(above, np.float64), np.asarray(below, np.float64)


def _called(
    members: NDArray[np.float64], nonmembers: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of non-members and members with at least each distinct score, highest first, starting from none."""
    cuts = np.unique(np.concatenate((members, nonmembers)))[::-1]
    called_m = nonmembers.size - np.searchsorted(np.sort(nonmembers), cuts, side="left")
    called_n = members.size - np.searchsorted(np.sort(members), cuts, side="left")
    return np.concatenate(([0], called_m)).astype(np.int64), np.concatenate(([0], called_n)).astype(np.int64)


def _newcombe_auc(area: float, n: int, m: int, z: float) -> Interval:
    """The areas t for which |t - area| = z * sqrt(var(t)); method 5 of Newcombe 2006."""

    def excess(t: float, sign: int) -> float:
        common = (n + m) / 2 - 1
        variance = t * (1 - t) * (1 + common * (1 - t) / (2 - t) + common * t / (1 + t)) / (n * m)
        return sign * (t - area) - z * math.sqrt(max(0.0, variance))

    tiny = 1e-12
    inside = min(max(area, tiny), 1 - tiny)
    low = 0.0 if area <= tiny else _root(lambda t: excess(t, -1), tiny, inside)
    high = 1.0 if area >= 1 - tiny else _root(lambda t: excess(t, 1), inside, 1 - tiny)
    return Interval(low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return cast("float", optimize.brentq(function, low, high))
