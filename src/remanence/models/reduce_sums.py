"""Log-probability, mean and standard deviation over the vocabulary on a CPU without sampling schemes: three sums.

With d = largest logit - logit, everything follows from the sums of exp(-d), d exp(-d) and d^2 exp(-d) over the
vocabulary. exp is a polynomial that the compiler turns into vector instructions: with k = round(d / ln 2) and
r = k ln 2 - d,

    (1)  exp(-d) = 2^-k exp(r),  |r| <= ln(2) / 2,  exp(r) to degree 6: off by at most 1.2e-7 of it.

Blocks of 512 tokens are summed in float32, the blocks in float64. The functions with relaxed arithmetic are always
inlined: otherwise the process that compiles them and those that load them from the cache differ in the last digit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

F = np.float32
BLOCK = 512
FAR = F(87.0)
"""Tokens farther than this below the top count as this far: their share is below 2e-38."""
PER_LN2 = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)
"""ln 2 in two parts, so that k ln 2 is exact enough in float32."""


@numba.njit(nogil=True, cache=True)
def sums_of(L: NDArray[Any]) -> Any:  # pyright: ignore  # pragma: no cover
    """For logits L [N, V]: top [N], rest = sum of exp(-d) over all but the top token [N], mean d [N], mean d^2 [N].

    The top token's 1 is left out of the sum, so that log(1 + rest) is right where rest is tiny. NaN where L is broken.
    """
    n, v = L.shape
    top, rest, first, second = np.empty(n, np.float32), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        row = L[i]
        top[i] = _top(row)
        s0, s1, s2 = 0.0 if np.isfinite(top[i]) else np.nan, 0.0, 0.0
        found = False
        for at in range(0, v, BLOCK):
            end = min(at + BLOCK, v)
            b0, b1, b2 = _sums(row[at:end], top[i])
            if not found and b0 >= F(0.5):
                place = at
                while place < end and row[place] != top[i]:
                    place += 1
                if place < end:
                    found = True
                    b0 = _sums(row[at:place], top[i])[0] + _sums(row[place + 1 : end], top[i])[0]
            s0, s1, s2 = s0 + b0, s1 + b1, s2 + b2
        rest[i], first[i], second[i] = s0, s1 / (1.0 + s0), s2 / (1.0 + s0)
    return top, rest, first, second


@numba.njit(nogil=True, cache=True, forceinline=True, fastmath={"reassoc", "contract", "nsz", "nnan"})
def _top(row):  # pyright: ignore  # pragma: no cover
    """Largest logit; anything at all where one is NaN, which the sums then show."""
    best = F(-np.inf)
    for j in range(len(row)):
        best = max(best, row[j])
    return best


@numba.njit(nogil=True, cache=True, forceinline=True, fastmath={"reassoc", "contract", "nsz"})
def _sums(row, top):  # pyright: ignore  # pragma: no cover
    """Sums of exp(-d), d exp(-d), d^2 exp(-d) over a block by (1); NaN stays NaN."""
    s0, s1, s2 = F(0), F(0), F(0)
    for j in range(len(row)):
        d = top - row[j]
        d = FAR if d > FAR else d
        k = np.int32(d * PER_LN2 + F(0.5))
        r = F(k) * LN2_HIGH - d + F(k) * LN2_LOW
        high = F(1 / 24) + r * (F(1 / 120) + r * F(1 / 720))
        exp_r = F(1) + r * (F(1) + r * (F(1 / 2) + r * (F(1 / 6) + r * high)))
        e = exp_r * np.int32((np.int32(127) - k) * np.int32(1 << 23)).view(np.float32)
        s0, s1, s2 = s0 + e, s1 + e * d, s2 + e * d * d
    return s0, s1, s2
