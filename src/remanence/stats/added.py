"""Added value: do additional predictors improve the prediction of a binary outcome over known predictors?

Out of sample: a logistic regression with spline terms is fitted on some rows and tested on others, once with the known
predictors and once with the additional ones; all lines of one row are in the same fold. The result is the difference of
the areas under the two ROC curves.

Sources: Harrell 2015, "Regression Modeling Strategies" (splines, added value out of sample). Pairs are compared within
a fold, because scores of different fits have no common scale.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.stats.intervals import Interval
from remanence.stats.within import codes, draws, weight_below

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Added:
    """Two areas under the ROC curve, out of sample, and their difference."""

    auc_without: float
    """With the known predictors alone; 0.5 = chance."""
    without_interval: Interval
    auc_with: float
    with_interval: Interval
    difference: float
    """With minus without; above 0 = the additional predictors help."""
    interval: Interval
    """Paired bootstrap over rows, with the fits held fixed."""
    n: int
    hits: int
    """Lines with a positive outcome."""
    left_out: int
    """Lines with a missing value (NaN)."""


def added_value(
    hit_N: NDArray[np.bool_],
    known: Mapping[str, Floats],
    added: Mapping[str, Floats],
    rows: Sequence[Hashable] | None = None,
    folds: int = 5,
    seed: int = 0,
    level: float = 0.95,
    rounds: int = 2000,
) -> Added:
    """The value that predictors `added` [N] add to predictors `known` [N] for `hit_N`, by grouped k-fold
    cross-validation.

    `rows` has the row of each line; lines of one row (copies, seeds) are in the same fold. Raises `NotMeasured` unless
    both outcomes have at least twice as many rows as there are folds.
    """
    columns = np.stack([np.asarray(v, np.float64) for v in (*known.values(), *added.values())], axis=1)
    whole = ~np.isnan(columns).any(axis=1)
    hit, columns = np.asarray(hit_N, bool)[whole], columns[whole]
    owners = (np.arange(whole.size) if rows is None else codes(rows))[whole]
    sides = (np.unique(owners[hit]).size, np.unique(owners[~hit]).size)
    if min(sides) < 2 * folds:
        raise NotMeasured(f"{folds} folds need {2 * folds} rows of each outcome, got {sides[0]} and {sides[1]}")
    fold = fold_of(hit, owners, folds, seed)
    scores = [out_of_fold(columns[:, : len(known)], hit, fold), out_of_fold(columns, hit, fold)]
    weights = draws(owners, np.random.default_rng(seed), rounds)
    without, with_ = (auc_within_folds(score, hit, fold, weights) for score in scores)
    tail = (1 - level) / 2

    def interval(values: NDArray[np.float64]) -> Interval:
        low, high = np.nanquantile(values[1:], [tail, 1 - tail])
        return Interval(float(low), float(high))

    return Added(
        auc_without=float(without[0]),
        without_interval=interval(without),
        auc_with=float(with_[0]),
        with_interval=interval(with_),
        difference=float(with_[0] - without[0]),
        interval=interval(with_ - without),
        n=int(hit.size),
        hits=int(hit.sum()),
        left_out=int((~whole).sum()),
    )


def fold_of(hit_N: NDArray[np.bool_], owners_N: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """[N] the fold of each line; lines of one owner share it, and hits are balanced."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.zeros(hit_N.size, np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(np.zeros((hit_N.size, 1)), hit_N, owners_N)):
        fold[test] = number
    return fold


def out_of_fold(columns_NC: Floats, hit_N: NDArray[np.bool_], fold_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """[N] log-odds of a hit, each from a model fitted without the line's fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, SplineTransformer

    score = np.zeros(hit_N.size)
    for number in np.unique(fold_N):
        train, test = fold_N != number, fold_N == number
        model = make_pipeline(
            QuantileTransformer(n_quantiles=min(100, int(train.sum()))),
            SplineTransformer(n_knots=4, degree=3, include_bias=False),
            LogisticRegression(max_iter=2000),
        )
        score[test] = model.fit(columns_NC[train], hit_N[train]).decision_function(columns_NC[test])
    return score


def auc_within_folds(
    score_N: Floats, hit_N: NDArray[np.bool_], fold_N: NDArray[np.int64], weights_BN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[B] share of pairs (a hit and a miss of the same fold) that the score orders correctly, ties one half; NaN
    without pairs. Lines are weighted by `weights_BN`.
    """
    won, pairs = np.zeros(len(weights_BN)), np.zeros(len(weights_BN))
    for number in np.unique(fold_N):
        here = fold_N == number
        weights = weights_BN[:, here]
        misses = np.where(hit_N[here], 0.0, weights)
        hits = weights - misses
        won += (hits * weight_below(score_N[here], misses)).sum(axis=1)
        pairs += hits.sum(axis=1) * misses.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, won / pairs, np.nan)
