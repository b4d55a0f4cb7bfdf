"""Forget quality: could these truth ratios be those of a model that never saw the rows?

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121

A p-value answers a question about evidence, not about size: with few rows everything passes, with many nothing does.
Compare it only at equal numbers of rows, and read the truth ratios beside it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from remanence.core.errors import NotMeasured


def forget_quality(ratio_unlearned_N: NDArray[np.floating[Any]], ratio_retrained_N: NDArray[np.floating[Any]]) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test between two models' truth ratios of the SAME N forget rows.

    1 = not to be told from the retrained model; near 0 = surely not it. Raises `NotMeasured` without rows, ValueError
    when the two are of different numbers of rows or hold NaN.
    """
    if ratio_unlearned_N.shape != ratio_retrained_N.shape or ratio_unlearned_N.ndim != 1:
        raise ValueError(
            "forget quality compares two models on the same rows, got ratios of shape "
            f"{ratio_unlearned_N.shape} and {ratio_retrained_N.shape}"
        )
    if ratio_unlearned_N.size == 0:
        raise NotMeasured("no forget row has a truth ratio")
    if np.isnan(ratio_unlearned_N).any() or np.isnan(ratio_retrained_N).any():
        raise ValueError("forget quality needs truth ratios without NaN; leave out the rows that could not be judged")
    return float(cast("Any", stats.ks_2samp(ratio_unlearned_N, ratio_retrained_N)).pvalue)
