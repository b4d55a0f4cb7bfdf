"""Linear maps fitted to samples: by reduced-rank regression, and by gradient descent as a two-layer network.

`statement.py` is about the population; this simulation checks it.

Shapes: n samples, d inputs, p outputs, r rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]


class Sample(NamedTuple):
    """Samples of the sparse-coding model."""

    x: Matrix
    """[n, d] inputs, equation (1)."""
    y: Matrix
    """[n, p] targets, equation (2)."""


def draw(
    M: Floats,
    lam: Floats,
    noise: float,
    A_S: Floats,
    S: Sequence[int],
    n: int,
    density: float,
    rng: np.random.Generator,
) -> Sample:
    """`n` samples: z_j is 0 with probability 1 - `density`, else normal, with variance lambda_j over all."""
    on = rng.random((n, len(lam))) < density
    z = on * rng.normal(size=on.shape) * np.sqrt(np.asarray(lam) / density)
    x = z @ M.T + np.sqrt(noise) * rng.normal(size=(n, M.shape[0]))
    return Sample(np.asarray(x, np.float64), np.asarray(z[:, list(S)] @ A_S.T, np.float64))


def reduced_rank(sample: Sample, rank: int) -> Matrix:
    """[p, d] the map of rank at most `rank` with the least squared error on the sample.

    The least-squares solution, projected on the first `rank` principal directions of its fitted values.
    """
    W = np.linalg.lstsq(sample.x, sample.y, rcond=None)[0].T
    _, _, Vt = np.linalg.svd(sample.x @ W.T, full_matrices=False)
    return np.asarray(Vt[:rank].T @ (Vt[:rank] @ W), np.float64)


def gradient_descent(
    sample: Sample, rank: int, rng: np.random.Generator, steps: int = 3000, rate: float = 0.05, start: float = 1e-3
) -> Matrix:
    """[p, d] W_2 W_1 after full-batch gradient descent on the mean squared error, from random weights of scale `start`.

    The initial weights in directions in which x does not vary are never changed, so their scale must be small.
    """
    n, p, d = len(sample.x), sample.y.shape[1], sample.x.shape[1]
    C_xx, C_yx = sample.x.T @ sample.x / n, sample.y.T @ sample.x / n
    first, second = start * rng.normal(size=(rank, d)), start * rng.normal(size=(p, rank))
    for _ in range(steps):
        residual = second @ first @ C_xx - C_yx
        first, second = first - rate * second.T @ residual, second - rate * residual @ first.T
    return np.asarray(second @ first, np.float64)


def heldout_errors(learn: Floats, judge: Floats, W: Floats) -> Matrix:
    """[n] |x - x_hat|^2 of the rows of `judge` [n, d]; x_hat = R W x, with R fitted to the rows of `learn` [n, d]."""
    R = np.linalg.lstsq(learn @ W.T, learn, rcond=1e-6)[0]
    return np.asarray(((judge - judge @ W.T @ R) ** 2).sum(axis=1), np.float64)
