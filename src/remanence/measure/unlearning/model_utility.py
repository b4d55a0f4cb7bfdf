"""Model utility: one number for all that the model is still good at; it is 0 as soon as one part is.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121

There: nine numbers, namely probability, ROUGE-L recall and truth ratio on the retain rows and on two sets of general
questions that belong to that benchmark. Here: the same three on whatever sets there are, such as retain and held-out
rows; two figures compare only over the same parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from remanence.core.errors import NotMeasured


def model_utility(parts: Sequence[float]) -> float:
    """Harmonic mean n / sum_i (1 / part_i) of parts in [0, 1]; higher = more useful, 0 when one of them is 0.

    Raises `NotMeasured` when there are none, ValueError for one below 0 or NaN.
    """
    if not parts:
        raise NotMeasured("no part of the utility was measured")
    if not all(part >= 0 for part in parts):
        raise ValueError(f"parts of the utility lie between 0 and 1, got {list(parts)}")
    return float(stats.hmean(np.asarray(parts, np.float64))) if all(parts) else 0.0
