"""From logits to the token table: each row of logits is read while it is in the cache, then forgotten.

`reduce_plain` is the reference: it sorts the whole vocabulary and reads like the definitions. `reduce_fast` gives the
same numbers on a CPU without a sort: ranks and moments are running sums, the k-th largest logit comes from a heap of
k, and the edge of a nucleus from a histogram of probability mass whose crossing bin alone is sorted.

Shapes: N positions, V vocabulary. Order of tokens: higher logit first, ties by lower id. Everything is float64 inside.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.scheme import SamplingScheme
from remanence.core.table import FloatsT, IntsT

BINS = 512
"""Bins of the histogram that finds the edge of a nucleus."""
CHUNK_BYTES = 8 << 20
"""Logits that are alive at a time, in bytes, besides one array of exponentials of the same size."""

Columns = dict[str, FloatsT | IntsT]


def chunk_rows(vocabulary: int) -> int:
    """How many positions to reduce at a time."""
    return max(1, CHUNK_BYTES // (4 * vocabulary))


def reduce_logits(logits_NV: Tensor, target_N: Tensor, columns: Sequence[str]) -> Columns:
    """The columns of the token table for N positions; on a CPU by `reduce_fast`, elsewhere by `reduce_plain`."""
    logits_NV = logits_NV.detach().float()
    if logits_NV.device.type == "cpu":
        return reduce_fast(logits_NV, target_N, columns)
    return reduce_plain(logits_NV, target_N, columns)


def reduce_plain(logits_NV: Tensor, target_N: Tensor, columns: Sequence[str]) -> Columns:
    """The definitions, with one sort of the vocabulary per position."""
    wide = logits_NV.double()
    broken_N = ~wide.amax(-1).isfinite()  # NaN or +inf somewhere, or -inf everywhere
    wide = torch.where(broken_N[:, None], 0.0, wide)
    sorted_NV, order_NV = wide.sort(dim=-1, descending=True, stable=True)
    rank_N = (order_NV == target_N[:, None]).int().argmax(-1)
    own_N = wide.gather(-1, target_N[:, None]).squeeze(-1)
    best_other_N = torch.where(rank_N == 0, sorted_NV[:, 1], sorted_NV[:, 0])
    logp_NV = wide.log_softmax(-1)
    p_NV = logp_NV.exp()
    finite_NV = torch.where(p_NV > 0, logp_NV, 0.0)
    mean_N = (p_NV * finite_NV).sum(-1)
    plain = {
        "logprob": logp_NV.gather(-1, target_N[:, None]).squeeze(-1),
        "rank": rank_N,
        "gap": own_N - best_other_N,
        "mean": mean_N,
        "std": (p_NV * (finite_NV - mean_N[:, None]) ** 2).sum(-1).clamp_min(0).sqrt(),
    }
    found: Columns = {}
    for column in columns:
        scheme = SamplingScheme.of_column(column)
        values = plain[column] if scheme is None else _scheme_plain(sorted_NV, rank_N, scheme)
        if column == "rank":
            found[column] = torch.where(broken_N, -1, values).cpu().numpy().astype(np.int32)
        else:
            found[column] = torch.where(broken_N, torch.nan, values).cpu().numpy().astype(np.float32)
    return found


def _scheme_plain(sorted_NV: Tensor, rank_N: Tensor, scheme: SamplingScheme) -> Tensor:
    """Log-probability of the token at `rank_N` under the scheme; -inf where the scheme cannot draw it."""
    scaled = sorted_NV / scheme.temperature
    if scheme.top_k is not None:
        edge = scaled[:, min(scheme.top_k, scaled.shape[1]) - 1 :][:, :1]
        scaled = torch.where(scaled >= edge, scaled, -torch.inf)
    if scheme.top_p is not None and scheme.top_p < 1:
        p = scaled.softmax(-1)
        above = p.cumsum(-1) - p
        scaled = torch.where(above < scheme.top_p, scaled, -torch.inf)
    return scaled.log_softmax(-1).gather(-1, rank_N[:, None]).squeeze(-1)


def reduce_fast(logits_NV: Tensor, target_N: Tensor, columns: Sequence[str]) -> Columns:
    """The same as `reduce_plain` on a CPU, in a few linear passes per position; as many threads as torch has."""
    parts = min(torch.get_num_threads(), len(target_N))
    if parts <= 1:
        return _reduce_fast(logits_NV, target_N, columns)
    cuts = [len(target_N) * part // parts for part in range(parts + 1)]
    slices = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    found = list(_threads(parts).map(lambda part: _reduce_fast(logits_NV[part], target_N[part], columns), slices))
    return {c: np.concatenate([one[c] for one in found]) for c in columns}  # pyright: ignore[reportReturnType]


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="reduce")


def _reduce_fast(logits_NV: Tensor, target_N: Tensor, columns: Sequence[str]) -> Columns:
    L, y = np.ascontiguousarray(logits_NV.numpy()), target_N.numpy().astype(np.int64)
    schemes = {c: s for c in columns if (s := SamplingScheme.of_column(c)) is not None}
    ks = sorted({s.top_k for s in schemes.values() if s.top_k is not None and s.top_k < L.shape[1]})
    top, best_other, rank, floor = _scan(L, y)
    kth = _kth_largest(L, np.array(ks, np.int64)) if ks else np.empty((len(L), 0), np.float32)
    broken = ~np.isfinite(top)
    own = np.where(broken, np.nan, np.take_along_axis(L, y[:, None], 1)[:, 0].astype(np.float64))
    found: dict[str, NDArray[np.generic]] = {"rank": np.where(broken, -1, rank)}
    E = np.empty_like(L)
    plain = {"logprob", "mean", "std"} & set(columns)
    for temperature in sorted({s.temperature for s in schemes.values()} | ({1.0} if plain else set())):
        with np.errstate(invalid="ignore"):  # inf - inf, in broken rows
            np.subtract(L, top[:, None], out=E)
        if temperature != 1.0:
            np.divide(E, np.float32(temperature), out=E)
        np.exp(E, out=E)
        distance = (own - top) / temperature
        if temperature == 1.0 and plain:
            z, first, second = _moments(L, E, top)
            found["logprob"] = distance - np.log(z)
            found["mean"] = first - np.log(z)
            found["std"] = np.sqrt(np.maximum(second - first * first, 0.0))
        here = {c: s for c, s in schemes.items() if s.temperature == temperature}
        if here:
            edges = np.array([-1 if s.top_k is None or s.top_k not in ks else ks.index(s.top_k) for s in here.values()])
            ps = np.array([1.0 if s.top_p is None else s.top_p for s in here.values()])
            mass = _masses(L, E, y, top, floor, kth, edges, ps)
            with np.errstate(divide="ignore", invalid="ignore"):
                for column, mass_N in zip(here, mass.T, strict=True):
                    found[column] = np.where(mass_N > 0, distance - np.log(mass_N), -np.inf)
    if "gap" in columns:
        found["gap"] = own - best_other
    return {c: _narrow(found[c], broken, c) for c in columns}


def _narrow(values: NDArray[np.generic], broken_N: NDArray[np.bool_], column: str) -> FloatsT | IntsT:
    if column == "rank":
        return values.astype(np.int32)
    return np.where(broken_N, np.nan, values).astype(np.float32)


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
def _sift(keys, ids, at, size):  # pyright: ignore  # pragma: no cover
    """Let the entry at `at` sink in a heap whose root is the smallest (key, id)."""
    key, identity = keys[at], ids[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (keys[right] < keys[child] or (keys[right] == keys[child] and ids[right] < ids[child])):
            child = right
        if keys[child] > key or (keys[child] == key and ids[child] >= identity):
            break
        keys[at], ids[at] = keys[child], ids[child]
        at = child
    keys[at], ids[at] = key, identity


@numba.njit(nogil=True, cache=True)
def _kth_largest(L, ks):  # pyright: ignore  # pragma: no cover
    """[N, len(ks)] the k-th largest logit for each k (ascending), with a heap of the largest k seen so far."""
    n, v = L.shape
    most = ks[-1]
    out = np.empty((n, len(ks)), np.float32)
    heap, ids = np.empty(most, np.float32), np.zeros(most, np.int64)
    for i in range(n):
        row = L[i]
        for j in range(most):
            heap[j] = row[j]
        for at in range(most // 2, -1, -1):
            _sift(heap, ids, at, most)
        for j in range(most, v):
            if row[j] > heap[0]:
                heap[0] = row[j]
                _sift(heap, ids, 0, most)
        size = most
        for q in range(len(ks) - 1, -1, -1):
            while size > ks[q]:
                size -= 1
                heap[0] = heap[size]
                _sift(heap, ids, 0, size)
            out[i, q] = heap[0]
    return out


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _moments(L, E, top):  # pyright: ignore  # pragma: no cover
    """Sum of exp(d), and mean and mean square of d under p, where d = logit - largest logit."""
    n, v = L.shape
    z, first, second = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        s0, s1, s2 = 0.0, 0.0, 0.0
        peak = top[i]
        for j in range(v):
            e = np.float64(E[i, j])
            d = np.float64(max(L[i, j] - peak, np.float32(-200.0)))
            s0 += e
            s1 += e * d
            s2 += e * d * d
        z[i], first[i], second[i] = s0, s1 / s0, s2 / s0
    return z, first, second


@numba.njit(nogil=True, cache=True)
def _masses(L, E, y, top, floor, kth, edges, ps):  # pyright: ignore  # pragma: no cover
    """[N, schemes] sum of exp over the tokens that the scheme keeps, or 0 where it drops the target."""
    n, v = L.shape
    out = np.zeros((n, len(ps)))
    for i in range(n):
        row, weight, t = L[i], E[i], y[i]
        if not np.isfinite(top[i]):
            continue
        bins = np.zeros(BINS)
        scale = np.float32(BINS / max(np.float32(1e-20), top[i] - floor[i]))
        filled = False
        whole = 0.0
        for q in range(len(ps)):
            if edges[q] >= 0:
                out[i, q] = _kept_of_top_k(row, weight, t, kth[i, edges[q]], ps[q])
                continue
            if not filled:
                for j in range(v):
                    b = min(BINS - 1, int(min((top[i] - row[j]) * scale, np.float32(BINS))))
                    bins[b] += weight[j]
                for b in range(BINS):
                    whole += bins[b]
                filled = True
            out[i, q] = whole if ps[q] >= 1.0 else _kept_of_nucleus(row, weight, t, top[i], scale, bins, whole * ps[q])
    return out


@numba.njit(nogil=True, cache=True)
def _kept_of_top_k(row, weight, t, edge, p):  # pyright: ignore  # pragma: no cover
    """Mass kept by top-k (all logits >= edge), then by top-p within it; 0 if the target is dropped."""
    if row[t] < edge:
        return 0.0
    mass = 0.0
    size = 0
    for j in range(len(row)):
        if row[j] >= edge:
            mass += weight[j]
            size += 1
    if p >= 1.0:
        return mass
    ids = np.empty(size, np.int64)
    size = 0
    for j in range(len(row)):
        if row[j] >= edge:
            ids[size] = j
            size += 1
    return _walk(row, weight, t, ids, 0.0, mass * p)


@numba.njit(nogil=True, cache=True)
def _kept_of_nucleus(row, weight, t, top, scale, bins, goal):  # pyright: ignore  # pragma: no cover
    """Mass of the most likely tokens up to and including the one that reaches the goal; 0 if the target is beyond."""
    above = 0.0
    cross = 0
    while cross < BINS - 1 and above + bins[cross] < goal:
        above += bins[cross]
        cross += 1
    own = min(BINS - 1, int(min((top - row[t]) * scale, np.float32(BINS))))
    if own > cross:
        return 0.0
    size = 0
    ids = np.empty(len(row), np.int64)
    for j in range(len(row)):
        if min(BINS - 1, int(min((top - row[j]) * scale, np.float32(BINS)))) == cross:
            ids[size] = j
            size += 1
    return _walk(row, weight, -1 if own < cross else t, ids[:size], above, goal)


@numba.njit(nogil=True, cache=True)
def _walk(row, weight, t, ids, above, goal):  # pyright: ignore  # pragma: no cover
    """Walk down the tokens `ids`, most likely first, from mass `above` until the goal is reached."""
    size = len(ids)
    keys = np.empty(size, np.float32)
    for o in range(size):
        keys[o] = -row[ids[o]]
    for at in range(size // 2, -1, -1):
        if size:
            _sift(keys, ids, at, size)
    seen = t < 0
    while size and above < goal:
        above += weight[ids[0]]
        seen = seen or ids[0] == t
        size -= 1
        keys[0], ids[0] = keys[size], ids[size]
        if size:
            _sift(keys, ids, 0, size)
    return above if seen else 0.0
