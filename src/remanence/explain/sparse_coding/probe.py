"""Linear probe: predict a value from a model's hidden state with one matrix.

Shapes: N records, D dimensions of a state, C values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def probe_hits(
    states: Floats, values: Ints, new_states: Floats, new_values: Ints, num_values: int, ridge: float = 1e-2
) -> NDArray[np.bool_]:
    """[N'] whether the probe predicts the value of each new record correctly.

    Ridge regression of the one-hot values on the standardised states [N, D], weight `ridge` per record; the prediction
    is the value with the highest output. Chance level is 1 / `num_values`. The two sets of records must not overlap.
    """
    mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
    X, X_new = ((part - mean) / scale for part in (states.astype(np.float64), new_states.astype(np.float64)))
    Y = np.eye(num_values)[values]
    W = np.linalg.solve(X.T @ X + ridge * len(X) * np.eye(X.shape[1]), X.T @ (Y - Y.mean(axis=0)))
    return np.asarray((X_new @ W + Y.mean(axis=0)).argmax(axis=1) == new_values)
