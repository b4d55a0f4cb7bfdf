"""The token table on a CPU: many sampling schemes for little more than one pass over the logits.

For one position let d = largest logit - logit, and put the d of all tokens into narrow bins with centres c. Each bin
remembers the sums M_m of r^m, m = 0..3, over its tokens, r = d - c. Then at any temperature T the mass in a bin is

    (1)  sum exp(-d/T) = exp(-c/T) (M_0 - M_1/T + M_2/2T^2 - M_3/6T^3),  off by at most (r/T)^4/24 < 4e-8 of it,

so the vocabulary is read three times whatever the schemes: for rank, top and bottom; to fill the bins; to pick out the
tokens of the few bins where a top-k or a nucleus ends. Only those are sorted. Widths are powers of two, which keeps r
exact in float32. Temperatures that differ more than 16-fold get bins of their own.

Shapes: N positions, V vocabulary, Q schemes. The reference for all of it is `reduce.reduce_plain`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from remanence.core.scheme import SamplingScheme
from remanence.models.reduce_sums import sums_of

BINS = 1 << 15
"""Most bins of a position; tokens beyond have no mass that a float64 sum would notice."""

Values = NDArray[Any]


def columns_of(L: Values, y: Values, columns: Sequence[str]) -> dict[str, Values]:
    """The columns for logits L [N, V] (float32, contiguous) and target ids y [N]; NaN and -1 where L is broken."""
    schemes = {c: s for c in columns if (s := SamplingScheme.of_column(c)) is not None}
    own = np.take_along_axis(L, y[:, None], 1)[:, 0].astype(np.float64)
    found: dict[str, Values] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        if not {"logprob", "mean", "std"}.isdisjoint(columns):
            top, rest, first, second = sums_of(L)
            found["logprob"], found["mean"] = own - top - np.log1p(rest), -first - np.log1p(rest)
            found["std"] = np.sqrt(np.maximum(second - first * first, 0.0))
        if schemes or not {"rank", "gap"}.isdisjoint(columns):
            top, best_other, rank, floor = _scan(L, y)
            broken = ~np.isfinite(top)
            found["rank"], found["gap"] = np.where(broken, -1, rank), np.where(broken, np.nan, own - best_other)
            for widest in sorted({_widest(s.temperature) for s in schemes.values()}):
                here = {c: s for c, s in schemes.items() if _widest(s.temperature) == widest}
                here = dict(sorted(here.items(), key=lambda item: item[1].temperature))
                temperature = np.array([s.temperature for s in here.values()], np.float64)
                k = np.array([s.top_k if s.top_k and s.top_k < L.shape[1] else 0 for s in here.values()], np.int64)
                p = np.array([1.0 if s.top_p is None else s.top_p for s in here.values()], np.float64)
                mass = _masses(L, top, floor, rank, np.float32(widest), temperature, k, p)
                for (column, scheme), mass_N in zip(here.items(), mass.T, strict=True):
                    logp = np.where(mass_N > 0, (own - top) / scheme.temperature - np.log(mass_N), -np.inf)
                    found[column] = np.where(broken, np.nan, logp)
    return {c: found[c] for c in columns}


def _widest(temperature: float) -> float:
    """Widest bin for (1): T/16 or less, the same for all temperatures from 1/4 to 4, and so on 16-fold."""
    return 2.0 ** (4 * math.floor((math.log2(temperature) + 2) / 4) - 6)


@numba.njit(nogil=True, cache=True)
def _scan(L, y):  # pyright: ignore  # pragma: no cover
    """Per position: largest logit, largest of another token than y, rank of y, smallest finite logit."""
    n, v = L.shape
    top, other = np.empty(n, np.float32), np.empty(n, np.float32)
    rank, floor = np.empty(n, np.int64), np.empty(n, np.float32)
    for i in range(n):
        row, t = L[i], y[i]
        own = row[t]
        best, low = np.float32(-np.inf), np.float32(np.inf)
        above, equal, bad = 0, 0, 0
        for j in range(t):
            x = row[j]
            best = max(best, x)
            low = min(low, x if x > -np.inf else low)
            above += x > own
            equal += x == own
            bad += x != x
        for j in range(t + 1, v):
            x = row[j]
            best = max(best, x)
            low = min(low, x if x > -np.inf else low)
            above += x > own
            bad += x != x
        bad += own != own
        other[i] = best
        top[i] = np.nan if bad else max(best, own)
        rank[i] = above + equal
        floor[i] = min(low, own if own > -np.inf else low)
    return top, other, rank, floor


@numba.njit(nogil=True, cache=True)
def _masses(L, top, floor, rank, widest, T, k, p):  # pyright: ignore  # pragma: no cover
    """[N, Q] sum of exp(-d/T) over the tokens that a scheme keeps, 0 where it drops the token of that rank. Schemes
    come ordered by T; k = 0 and p = 1 keep all tokens."""
    n, v = L.shape
    kept = np.zeros((n, len(T)))
    M, weight, wanted = np.empty((BINS + 1, 4), np.float32), np.empty(BINS), np.empty(BINS + 1, np.bool_)
    bin_of, ids, D = np.empty(v, np.uint16), np.empty(v + 1, np.int32), np.empty(v)
    edge, before, above, whole = np.empty(len(T), np.int64), np.empty(len(T)), np.empty(len(T)), np.empty(len(T))
    most, total = 0, 0.0
    for q in range(len(T)):
        most = max(most, k[q])
    for i in range(n):
        if not np.isfinite(top[i]):
            continue
        width, bins = _fill(L[i], top[i], floor[i], widest, M, bin_of)
        wanted[: bins + 1] = False
        if most:
            wanted[: _edge_of_count(M, bins, most) + 1] = True
        for q in range(len(T)):
            if q == 0 or T[q] != T[q - 1]:
                total = _weigh(M, bins, width, T[q], weight)
            whole[q] = total
            if not k[q] and p[q] < 1.0:
                edge[q], before[q], above[q] = _edge_of_mass(M, weight, bins, total * p[q])
                wanted[edge[q]] = True
        size = _collect(L[i], top[i], bin_of, wanted, ids, D)
        for q in range(len(T)):
            num, mass = np.float64(v), whole[q]
            if k[q]:
                end = k[q]
                while end < size and D[end] == D[end - 1]:
                    end += 1
                num, mass = _walk(D, 0, end, T[q], 0.0, np.inf)
                if p[q] < 1.0:
                    num, mass = _walk(D, 0, end, T[q], 0.0, mass * p[q])
            elif p[q] < 1.0:
                start = 0
                while bin_of[ids[start]] != edge[q]:
                    start += 1
                end = start
                while end < size and bin_of[ids[end]] == edge[q]:
                    end += 1
                num, mass = _walk(D, start, end, T[q], above[q], whole[q] * p[q])
                num += before[q]
            kept[i, q] = mass if rank[i] < num else 0.0
    return kept


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _fill(row, top, floor, widest, M, bin_of):  # pyright: ignore  # pragma: no cover
    """Fill the bins M[:bins] with counts and powers of r, and M[bins] with all tokens too unlikely to matter."""
    reach = top - floor
    width = np.float32(min(widest, 2.0 ** np.floor(np.log2(max(reach, np.float32(1e-30)) / 512))))
    per, half = np.float32(1) / width, np.float32(0.5)
    bins = int(min(reach * per + half, np.float32(BINS - 1))) + 1
    M[: bins + 1] = 0
    last = np.float32(bins)
    for j in range(len(row)):
        d = top - row[j]
        b = np.int32(min(d * per + half, last))
        r = d - np.float32(b) * width
        bin_of[j] = b
        M[b, 0] += np.float32(1)
        M[b, 1] += r
        M[b, 2] += r * r
        M[b, 3] += r * r * r
    return np.float64(width), bins


@numba.njit(nogil=True, cache=True)
def _weigh(M, bins, width, T, weight):  # pyright: ignore  # pragma: no cover
    """Fill `weight` with the mass of each bin at temperature T by (1), and return the sum."""
    total, e, ratio = 0.0, 1.0, np.exp(-width / T)
    for b in range(bins):
        m0, m1, m2, m3 = np.float64(M[b, 0]), np.float64(M[b, 1]), np.float64(M[b, 2]), np.float64(M[b, 3])
        weight[b] = e * (m0 - (m1 - (m2 - m3 / (3 * T)) / (2 * T)) / T)
        total += weight[b]
        e *= ratio
    return total


@numba.njit(nogil=True, cache=True)
def _edge_of_count(M, bins, k):  # pyright: ignore  # pragma: no cover
    """The bin of the k-th token."""
    count = 0.0
    for b in range(bins):
        count += M[b, 0]
        if count >= k:
            return b
    return bins


@numba.njit(nogil=True, cache=True)
def _edge_of_mass(M, weight, bins, goal):  # pyright: ignore  # pragma: no cover
    """The bin in which the mass reaches the goal, and how many tokens and how much mass stand before it."""
    b, count, mass, last = 0, 0.0, 0.0, 0
    while b < bins:
        if M[b, 0]:
            last = b
            if mass + weight[b] >= goal:
                break
            count, mass = count + M[b, 0], mass + weight[b]
        b += 1
    if b == bins:  # rounding: the goal lies a hair beyond the sum
        count, mass = count - M[last, 0], mass - weight[last]
    return last, count, mass


@numba.njit(nogil=True, cache=True)
def _collect(row, top, bin_of, wanted, ids, D):  # pyright: ignore  # pragma: no cover
    """Put the tokens of the wanted bins, most likely first (ties: lower id), into `ids` and their d into `D`."""
    size = 0
    for j in range(len(row)):
        ids[size] = j
        size += wanted[bin_of[j]]
    for at in range(size):
        D[at] = np.float64(top) - np.float64(row[ids[at]])
    for at in range(size // 2 - 1, -1, -1):
        _sift(D, ids, at, size)
    for end in range(size - 1, 0, -1):
        D[0], D[end], ids[0], ids[end] = D[end], D[0], ids[end], ids[0]
        _sift(D, ids, 0, end)
    return size


@numba.njit(nogil=True, cache=True)
def _sift(keys, ids, at, size):  # pyright: ignore  # pragma: no cover
    """Let the entry at `at` sink in a heap whose root is the largest (key, id)."""
    key, identity = keys[at], ids[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] > keys[child] or (keys[right] == keys[child] and ids[right] > ids[child])):
            child = right
        if keys[child] < key or (keys[child] == key and ids[child] < identity):
            break
        keys[at], ids[at] = keys[child], ids[child]
        at = child
    keys[at], ids[at] = key, identity


@numba.njit(nogil=True, cache=True)
def _walk(D, start, end, T, mass, goal):  # pyright: ignore  # pragma: no cover
    """Take tokens from `start` on until the mass reaches the goal: how many, and the mass with them."""
    at = start
    while at < end and mass < goal:
        mass += np.exp(-D[at] / T)
        at += 1
    return np.float64(at - start), mass
