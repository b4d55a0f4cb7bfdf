"""Model utility: harmonic mean of several quality scores; 0 if one of them is 0.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121

In the paper: nine scores, namely probability, ROUGE-L recall and truth ratio on the retain rows and on two sets of
general questions that belong to that benchmark. Here: the same three on the available sets, such as retain and held-out
rows. Figures are comparable only over the same parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from remanence.core.errors import NotMeasured


def model_utility(parts: Sequence[float]) -> float:
    """Harmonic mean n / sum_i (1 / part_i) of parts in [0, 1]; higher = better, 0 if one of them is 0.

    Raises `NotMeasured` without parts, ValueError for one below 0 or NaN.
    """
    if not parts:
        raise NotMeasured("no part of the utility was measured")
    if not all(part >= 0 for part in parts):
        raise ValueError(f"parts of the utility lie between 0 and 1, got {list(parts)}")
    return float(stats.hmean(np.asarray(parts, np.float64))) if all(parts) else 0.0
