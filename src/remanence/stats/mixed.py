"""How much does one number change with another, once each task and each seed may have a level of its own?

Paper: Laird & Ware 1982, "Random-Effects Models for Longitudinal Data", doi 10.2307/2529876; fitted by restricted
maximum likelihood (statsmodels' `MixedLM`)

y = b0 + b1 x1 + b2 x2 + ... + u_task + v_seed + noise, with u and v normal around 0. Of few tasks with many rows each,
b is nearly that of ordinary least squares with every variable centred within its task (`tests/stats/test_mixed.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.stats.intervals import Interval
from remanence.stats.within import codes

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Coefficient:
    """By how much y is higher where this is one unit (or one standard deviation) higher, all others the same."""

    value: float
    interval: Interval
    """Wald's."""
    p_value: float
    """Two-sided, of the coefficient being 0."""


@dataclass(frozen=True)
class MixedModel:
    """What stays of each predictor beside the others and the levels of the groups."""

    fixed: Mapping[str, Coefficient]
    spread: Mapping[str, float]
    """Standard deviation of each group's levels, and of the `rest`, in the units of the coefficients."""
    n: int
    left_out: int
    """Rows where some number was missing (NaN)."""
    notes: tuple[str, ...]
    """What the fit complained about; empty = nothing."""


def mixed_model(
    y_N: Floats,
    fixed: Mapping[str, Floats],
    intercepts: Mapping[str, Sequence[Hashable]],
    standardise: bool = True,
    level: float = 0.95,
) -> MixedModel:
    """Linear mixed model of y [N] on `fixed` [N] each, with a random intercept for each grouping of `intercepts`.

    `standardise` divides y and every predictor by its standard deviation, so that coefficients can be compared. A
    grouping with a single level is left out. `NotMeasured` where y or a predictor does not vary or rows are too few.
    """
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
    except ImportError:
        raise RemanenceError("The mixed model needs statsmodels: pip install 'remanence[study]'.") from None
    names = list(fixed)
    table = np.stack([np.asarray(v, np.float64) for v in (y_N, *fixed.values())])
    whole = np.flatnonzero(~np.isnan(table).any(axis=0)).tolist()
    columns = list(table[:, whole])
    n = len(whole)
    if n < len(names) + 5:
        raise NotMeasured(f"a model of {len(names)} predictors needs at least {len(names) + 5} rows, got {n}")
    for name, column in zip(["the outcome", *names], columns, strict=True):
        if np.ptp(column) == 0:
            raise NotMeasured(f"{name} is the same in all {n} rows")
    scales = [float(column.std()) for column in columns]
    scaled = [(c - c.mean()) / s for c, s in zip(columns, scales, strict=True)]
    groups = {k: codes([v[i] for i in whole]) for k, v in intercepts.items()}
    groups = {k: v for k, v in groups.items() if v.max() > 0}
    if not groups:
        raise NotMeasured("no grouping has more than one level, so there is no level to take out")
    marks = {k: (v[:, None] == np.arange(v.max() + 1)).astype(np.float64) for k, v in groups.items()}
    variances = VCSpec(
        list(marks), [[[str(i) for i in range(m.shape[1])]] for m in marks.values()], [[m] for m in marks.values()]
    )
    design = np.column_stack([np.ones(n), *scaled[1:]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit: Any = MixedLM(scaled[0], design, groups=np.ones(n), exog_vc=variances).fit(reml=True)
    unit = [1.0 if standardise else scales[0] / s for s in scales[1:]]
    z = float(stats.norm.ppf(0.5 + level / 2))
    values, errors = np.asarray(fit.fe_params)[1:], np.asarray(fit.bse_fe)[1:]
    if not (np.isfinite(values).all() and np.isfinite(errors).all()):
        raise NotMeasured("the mixed model did not converge: its predictors may be nearly the same")
    out = 1.0 if standardise else scales[0]
    return MixedModel(
        fixed={
            name: Coefficient(
                float(b * u),
                Interval(float((b - z * e) * u), float((b + z * e) * u)),
                float(2 * stats.norm.sf(abs(b) / e)),
            )
            for name, b, e, u in zip(names, values, errors, unit, strict=True)
        },
        spread={k: float(np.sqrt(max(0.0, v))) * out for k, v in zip(marks, fit.vcomp, strict=True)}
        | {"rest": float(np.sqrt(fit.scale)) * out},
        n=n,
        left_out=table.shape[1] - n,
        notes=tuple(dict.fromkeys(" ".join(str(w.message).split()) for w in caught)),
    )
