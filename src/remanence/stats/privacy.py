"""Privacy accounting of DP-SGD: (epsilon, delta) of a training with noise, in NumPy.

Sources: Mironov et al. 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", arXiv 1908.10530; the
conversion to epsilon by Balle et al. 2020, "Hypothesis Testing Interpretations and Rényi Differential Privacy",
arXiv 1905.09982, theorem 21. Neighbours differ in one row that is there or not; every row joins a step by a coin of its
own with probability q; sums of gradients clipped to norm 1 get normal noise of standard deviation sigma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ORDERS: tuple[float, ...] = (*(k / 10 for k in range(11, 110)), *map(float, range(12, 64)))
"""Orders of the Rényi divergence; the one with the lowest epsilon is used."""


def rdp_epsilon(q: float, sigma: float, steps: int, delta: float, orders: Sequence[float] = ORDERS) -> float:
    """eps = min_a [ T eps_a - (log delta + log a) / (a - 1) + log((a - 1) / a) ], at least 0; infinite without noise.

    An upper bound: finer accountants (PRV) give up to a seventh less for the same training. ValueError for a
    probability that is none, and for negative noise or steps.
    """
    if not (0 <= q <= 1 and 0 < delta < 1 and sigma >= 0 and steps >= 0):
        raise ValueError(f"not 0 <= q <= 1, 0 < delta < 1, sigma >= 0, steps >= 0: {q=}, {delta=}, {sigma=}, {steps=}")
    if not q or not steps:
        return 0.0
    if not sigma:
        return math.inf
    a = np.asarray(orders, np.float64)
    found = steps * rdp(q, sigma, orders) - (math.log(delta) + np.log(a)) / (a - 1) + np.log((a - 1) / a)
    return max(0.0, float(found.min()))


def rdp(q: float, sigma: float, orders: Sequence[float] = ORDERS) -> Floats:
    """[orders] eps_a of one step: log E_z[(1 - q + q exp((2z - 1) / (2 sigma^2)))^a] / (a - 1), z ~ N(0, sigma^2).

    Whole orders by the binomial sum, which is exact; others by quadrature.
    """
    return np.array([_moment(q, sigma, a) / (a - 1) for a in orders])


def _moment(q: float, sigma: float, a: float) -> float:
    if q == 1:
        return a * (a - 1) / (2 * sigma**2)
    return binomial_moment(q, sigma, round(a)) if float(a).is_integer() else integral_moment(q, sigma, a)


def binomial_moment(q: float, sigma: float, a: int) -> float:
    """log sum_i C(a, i) (1 - q)^(a - i) q^i exp((i^2 - i) / (2 sigma^2)), for whole a and 0 < q < 1."""
    i = np.arange(a + 1)
    choose = np.array([math.lgamma(a + 1) - math.lgamma(k + 1) - math.lgamma(a - k + 1) for k in range(a + 1)])
    return _log_sum(choose + (a - i) * math.log1p(-q) + i * math.log(q) + (i * i - i) / (2 * sigma**2))


def integral_moment(q: float, sigma: float, a: float) -> float:
    """The same expectation for any a > 1 by the trapezoid rule, which is exact to rounding for such bells.

    The mass lies between 0 and a, each of its bells sigma wide.
    """
    step = sigma / 16
    z = np.arange(-14 * sigma, a + 14 * sigma + step, step)
    inner = np.logaddexp(math.log1p(-q), math.log(q) + (2 * z - 1) / (2 * sigma**2))
    return _log_sum(a * inner - z**2 / (2 * sigma**2)) + math.log(step / (sigma * math.sqrt(2 * math.pi)))


def calibrate_sigma(epsilon: float, delta: float, q: float, steps: int, tolerance: float = 0.01) -> float:
    """The smallest noise, to `tolerance` of epsilon below the target, whose epsilon is at most `epsilon`; 0 for inf.

    ValueError for an epsilon that no noise up to a million reaches.
    """
    if not epsilon > 0:
        raise ValueError(f"the target epsilon is above 0, got {epsilon}")
    if math.isinf(epsilon):
        return 0.0
    low, high = 0.0, 1.0
    while rdp_epsilon(q, high, steps, delta) > epsilon:
        low, high = high, 2 * high
        if high > 1e6:
            raise ValueError(f"no noise reaches epsilon {epsilon} at delta {delta}: allow a larger one")
    while epsilon - rdp_epsilon(q, high, steps, delta) > tolerance and high - low > 1e-9 * high:
        middle = (low + high) / 2
        if rdp_epsilon(q, middle, steps, delta) > epsilon:
            low = middle
        else:
            high = middle
    return high


def _log_sum(values: Floats) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).sum()))
