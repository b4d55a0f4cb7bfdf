"""The linear statement in closed form: how much of its input a linear map retains that was fitted to a task.

The argument of Zeng et al. 2024 (arXiv 2310.06714), in a version that can be stated and tested:

    (1)  x = M z + e,        M [d, m] with orthonormal columns, Cov z = diag(lambda), Cov e = noise * I
    (2)  y = A_S z_S,        the task needs the features S, s of m; A_S [p, s] has full column rank
    (3)  W = A_S diag(lambda_j / (lambda_j + noise)) M_S'        minimises E|y - W x|^2 over all linear maps
    (4)  row space of W = span(M_S): exactly the needed features are retained, none of the others
    (5)  min E|x - x_hat|^2 = sum over j not in S of lambda_j + noise * (d - s),     x_hat from W x, linear
    (6)  min E|M z - x_hat|^2 = sum over j not in S of lambda_j + sum over j in S of lambda_j noise/(lambda_j + noise)

(5) and (6) strictly decrease with every feature added to S, (5) by lambda_j + noise, (6) by lambda_j^2/(lambda_j +
noise). The plain projection P x on span(M_S) reaches (5) but not (6): |M z - P x|^2 is the first sum plus noise * s,
which *rises* with a feature that varies less than the noise. Over maps of rank r < s (reduced-rank regression):

    (7)  W_r keeps span(M_S diag(lambda_S + noise)^(-1/2) V_r), V_r [s, r] the first right singular vectors of
         B = A_S diag(lambda_S / sqrt(lambda_S + noise));
         min E|x - x_hat|^2 = sum_j lambda_j + noise * d - tr(V_r' diag(lambda_S + noise) V_r)

so the error no longer decreases with s: it may stay equal or rise (worked by hand in `tests/explain/sparse_coding`).

Limits. Only second moments are used: that z is *sparse* plays no part. Features that are correlated or not orthogonal
are partly recovered without being needed. And x_hat is computed *from x*: (3) stores no training row. The statement is
about what a model's state retains of its current input, not about rows stored in weights.

Shapes: d inputs, m features, p outputs, s needed features, r rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Matrix = NDArray[np.float64]


def input_covariance(M: Floats, lam: Floats, noise: float) -> Matrix:
    """[d, d] Cov x = M diag(lambda) M' + noise * I, from (1)."""
    return np.asarray((M * lam) @ M.T + noise * np.eye(M.shape[0]), np.float64)


def best_map(M: Floats, lam: Floats, noise: float, A_S: Floats, S: Sequence[int], rank: int | None = None) -> Matrix:
    """[p, d] the map of rank at most `rank` (default: any) with the least E|y - W x|^2, by (3) and (7).

    Without noise there are many minimisers when d > m; this is the one with the smallest norm, which gradient descent
    from zero reaches. Raises ValueError if `S` and `A_S` do not match.
    """
    needed, lam_S = _needed(lam, A_S, S)
    U, gamma, Vt = np.linalg.svd(A_S * (lam_S / np.sqrt(lam_S + noise)), full_matrices=False)
    r = len(needed) if rank is None else min(rank, len(needed))
    return np.asarray((U[:, :r] * gamma[:r]) @ Vt[:r] / np.sqrt(lam_S + noise) @ M[:, needed].T, np.float64)


def error_of_input(lam: Floats, noise: float, S: Sequence[int], d: int) -> float:
    """The least E|x - x_hat|^2 from the optimal map of the task, (5)."""
    return float(np.delete(lam, list(S)).sum() + noise * (d - len(S)))


def error_of_signal(lam: Floats, noise: float, S: Sequence[int]) -> float:
    """The least E|M z - x_hat|^2 from the optimal map of the task, (6): the input without its noise."""
    lam_S = np.asarray(lam, np.float64)[list(S)]
    return float(np.delete(lam, list(S)).sum() + (lam_S * noise / (lam_S + noise)).sum())


def error_at_rank(lam: Floats, noise: float, A_S: Floats, S: Sequence[int], d: int, rank: int) -> float:
    """The least E|x - x_hat|^2 from the best map of rank at most `rank`, (7); from rank s on it equals (5)."""
    needed, lam_S = _needed(lam, A_S, S)
    _, _, Vt = np.linalg.svd(A_S * (lam_S / np.sqrt(lam_S + noise)), full_matrices=False)
    kept = ((Vt[: min(rank, len(needed))] ** 2) * (lam_S + noise)).sum()
    return float(np.sum(lam) + noise * d - kept)


def reconstruction_error(covariance: Floats, W: Floats) -> float:
    """The least E|x - x_hat|^2 over all linear x_hat of W x, for any covariance [d, d] of x and any map [p, d].

    tr C - tr(Q' C C Q (Q' C Q)^-1), with Q the row space of W: a slow computation of (5) and (7).
    """
    Q = row_space(W)
    seen = covariance @ Q
    return float(np.trace(covariance) - np.trace(np.linalg.pinv(Q.T @ seen) @ (seen.T @ seen)))


def row_space(W: Floats, tolerance: float = 1e-6) -> Matrix:
    """[d, k] an orthonormal basis of the row space of W; singular values below `tolerance` of the largest count as
    0."""
    _, singular, Vt = np.linalg.svd(W, full_matrices=False)
    kept = singular > tolerance * max(float(singular.max(initial=0.0)), np.finfo(float).tiny)
    return np.asarray(Vt[kept].T, np.float64)


def widest_angle(P: Floats, Q: Floats) -> float:
    """Largest principal angle (radians) between two subspaces given by orthonormal columns; pi/2 if sizes differ."""
    if P.shape[1] != Q.shape[1]:
        return float(np.pi / 2)
    # The sine of the angle, from the part of Q outside P: exact for small angles, where the cosine is not.
    return float(np.arcsin(min(1.0, np.linalg.norm(Q - P @ (P.T @ Q), 2))))


def _needed(lam: Floats, A_S: Floats, S: Sequence[int]) -> tuple[list[int], Matrix]:
    needed = list(S)
    if A_S.shape[1] != len(needed) or len(set(needed)) != len(needed):
        raise ValueError(f"A_S has {A_S.shape[1]} columns for the features {needed}; give one column per feature")
    return needed, np.asarray(lam, np.float64)[needed]
