"""Forget quality: are the truth ratios consistent with those of a model trained without the rows?

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121

A p-value measures evidence, not effect size: with few rows it is always high, with many always low. Compare it only at
equal numbers of rows, together with the truth ratios.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from remanence.core.errors import NotMeasured


def forget_quality(ratio_unlearned_N: NDArray[np.floating[Any]], ratio_retrained_N: NDArray[np.floating[Any]]) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test between two models' truth ratios of the SAME N forget rows.

    1 = indistinguishable from the retrained model; near 0 = different from it. Raises `NotMeasured` without rows,
    ValueError for different numbers of rows or NaN.
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
