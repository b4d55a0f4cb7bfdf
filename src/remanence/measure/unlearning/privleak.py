"""PrivLeak: membership AUC of the forget rows relative to a model retrained without them.

Paper: Shi et al. 2024, "MUSE: Machine Unlearning Six-Way Evaluation for Language Models", arXiv 2407.06460, as
OpenUnlearning (arXiv 2506.12618) computes it, with Min-K% at k = 0.4

Orientation: an AUC of 1 means that all forget rows have higher scores than held-out rows, as everywhere in this
package. MUSE uses 1 minus this AUC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.stats.membership import roc_auc

FRACTION = 0.4
"""Share of tokens that Min-K% keeps."""


def privleak(auc_unlearned: float, auc_retrained: float) -> float:
    """100 * ((1 - AUC_u) - (1 - AUC_r)) / (1 - AUC_r).

    0 = like the retrained model, -100 = all forget rows are recognized, positive = over-unlearned: they are recognized
    as unusually unlikely. Raises `NotMeasured` if the retrained model itself separates the rows perfectly.
    """
    if auc_retrained >= 1:
        raise NotMeasured("the retrained model already tells forget rows from held-out rows without fail")
    return 100 * ((1 - auc_unlearned) - (1 - auc_retrained)) / (1 - auc_retrained)


def privleak_of_scores(
    forget_u: NDArray[np.floating[Any]],
    heldout_u: NDArray[np.floating[Any]],
    forget_r: NDArray[np.floating[Any]],
    heldout_r: NDArray[np.floating[Any]],
) -> float:
    """The same from Min-K% scores (`MinK(FRACTION)`) of forget [N] and held-out [M] rows on the two models."""
    return privleak(roc_auc(forget_u, heldout_u), roc_auc(forget_r, heldout_r))
