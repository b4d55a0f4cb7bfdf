"""Linear mixed model: the effect of one variable on another with random intercepts, such as for tasks and seeds.

Paper: Laird & Ware 1982, "Random-Effects Models for Longitudinal Data", doi 10.2307/2529876; restricted maximum
likelihood as in Bates et al. 2015, "Fitting Linear Mixed-Effects Models Using lme4", doi 10.18637/jss.v067.i01

y = X b + Z u + e, with u_k ~ N(0, s_k^2) for the levels of grouping k, and e ~ N(0, s^2). Of few tasks with many rows
each, b is nearly that of least squares with every variable centred within its task (`tests/stats/test_mixed.py`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, stats

from remanence.core.errors import NotMeasured
from remanence.stats.intervals import Interval
from remanence.stats.within import codes

Floats = NDArray[np.floating[Any]]
STARTS = (0.05, 0.5, 3.0)
"""Starting values of the standard deviations, in units of the residual's; the best result is used."""


@dataclass(frozen=True)
class Coefficient:
    """Change of y per unit (or standard deviation) of this variable, with all others fixed."""

    value: float
    interval: Interval
    """Wald's."""
    p_value: float
    """Two-sided, of the coefficient being 0."""


@dataclass(frozen=True)
class MixedModel:
    """Effect of each predictor, adjusted for the others and the random intercepts."""

    fixed: Mapping[str, Coefficient]
    spread: Mapping[str, float]
    """Standard deviation of each random intercept and of the residual (`rest`), in units of y or of its deviation."""
    n: int
    left_out: int
    """Rows with a missing value (NaN)."""


class Fit(NamedTuple):
    """A fit, in the notation of the module."""

    b: NDArray[np.float64]
    """[P]"""
    covariance: NDArray[np.float64]
    """[P, P] of b."""
    s_k: NDArray[np.float64]
    """[G] standard deviation of the levels of each grouping."""
    s: float


def mixed_model(
    y_N: Floats,
    fixed: Mapping[str, Floats],
    intercepts: Mapping[str, Sequence[Hashable]],
    standardise: bool = True,
    level: float = 0.95,
) -> MixedModel:
    """Linear mixed model of y [N] on `fixed` [N] each, with a random intercept for each grouping of `intercepts`.

    `standardise` divides y and every predictor by its standard deviation, so that coefficients can be compared. A
    grouping with a single level is left out. `NotMeasured` where y or a predictor does not vary, two predictors are
    the same, or rows are too few.
    """
    names = list(fixed)
    table = np.stack([np.asarray(v, np.float64) for v in (y_N, *fixed.values())])
    whole = np.flatnonzero(~np.isnan(table).any(axis=0)).tolist()
    columns, n = table[:, whole], len(whole)
    if n < len(names) + 5:
        raise NotMeasured(f"a model of {len(names)} predictors needs at least {len(names) + 5} rows, got {n}")
    for name, column in zip(["the outcome", *names], columns, strict=True):
        if np.ptp(column) == 0:
            raise NotMeasured(f"{name} is the same in all {n} rows")
    groups = {k: codes([v[i] for i in whole]) for k, v in intercepts.items()}
    marks = {k: (v[:, None] == np.arange(v.max() + 1)).astype(np.float64) for k, v in groups.items() if v.max() > 0}
    if not marks:
        raise NotMeasured("no grouping has more than one level, so there is no level to take out")
    scale = columns.std(axis=1)
    scaled = (columns - columns.mean(axis=1, keepdims=True)) / scale[:, None]
    design = np.column_stack([np.ones(n), *scaled[1:]])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise NotMeasured("one predictor follows from the others, so none of their coefficients can be told")
    fit = reml(scaled[0], design, list(marks.values()))
    unit = 1.0 if standardise else float(scale[0])
    values = fit.b[1:] * (1.0 if standardise else scale[0] / scale[1:])
    errors = np.sqrt(np.diag(fit.covariance))[1:] * (1.0 if standardise else scale[0] / scale[1:])
    half = float(stats.norm.ppf(0.5 + level / 2)) * errors
    p_values = 2 * stats.norm.sf(np.abs(values) / errors)
    return MixedModel(
        fixed={
            name: Coefficient(
                float(values[i]), Interval(float(values[i] - half[i]), float(values[i] + half[i])), float(p)
            )
            for i, (name, p) in enumerate(zip(names, p_values, strict=True))
        },
        spread={k: float(s) * unit for k, s in zip(marks, fit.s_k, strict=True)} | {"rest": fit.s * unit},
        n=n,
        left_out=table.shape[1] - n,
    )


def reml(y_N: Floats, X_NP: Floats, Z_k: Sequence[Floats]) -> Fit:
    """Restricted maximum likelihood; Z_k [N, L_k] marks the level of each row in grouping k.

    Only small matrices are inverted: with H = I + Z T^2 Z', T the spreads in units of s, H^-1 = I - Z T M^-1 T Z' and
    |H| = |M|, where M = I + T Z'Z T.
    """
    Z, own = np.concatenate(Z_k, axis=1), np.repeat(np.arange(len(Z_k)), [z.shape[1] for z in Z_k])
    A = np.column_stack([X_NP, y_N])
    ZZ, ZA, AA = Z.T @ Z, Z.T @ A, A.T @ A
    n, p = X_NP.shape

    def weighted(t: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """A' H^-1 A and log |H|."""
        T = t[own]
        root = linalg.cholesky(np.eye(T.size) + T[:, None] * ZZ * T, lower=True)
        half = linalg.solve_triangular(root, T[:, None] * ZA, lower=True)
        return AA - half.T @ half, 2 * float(np.log(np.diag(root)).sum())

    def deviance(t: NDArray[np.float64]) -> float:
        """-2 log restricted likelihood, less what does not depend on t."""
        W, log_H = weighted(t)
        root = linalg.cholesky(W[:p, :p], lower=True)
        half = linalg.solve_triangular(root, W[:p, p], lower=True)
        return log_H + 2 * float(np.log(np.diag(root)).sum()) + (n - p) * float(np.log(W[p, p] - half @ half))

    bounds = [(0.0, 1e3)] * len(Z_k)
    ends: list[Any] = [optimize.minimize(deviance, np.full(len(Z_k), at), bounds=bounds) for at in STARTS]
    t: NDArray[np.float64] = min(ends, key=lambda end: float(end.fun)).x
    W, _ = weighted(t)
    b: NDArray[np.float64] = np.asarray(np.linalg.solve(W[:p, :p], W[:p, p]), np.float64)
    variance = float(W[p, p] - b @ W[:p, p]) / (n - p)
    return Fit(b, variance * np.asarray(np.linalg.inv(W[:p, :p]), np.float64), t * variance**0.5, variance**0.5)
