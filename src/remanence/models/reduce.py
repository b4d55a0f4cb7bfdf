"""From logits to the token table: each chunk of logits is reduced to a few numbers per position and then freed.

`reduce_plain` is the reference: it sorts the whole vocabulary and reads like the definitions. `reduce_fast` gives the
same numbers on a CPU without a sort; how, `reduce_cpu` tells.

Shapes: N positions, V vocabulary. Order of tokens: higher logit first, ties by lower id. Everything is float64 inside.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from remanence.core.scheme import SamplingScheme
from remanence.core.table import FloatsT, IntsT
from remanence.models.reduce_cpu import columns_of

CHUNK_BYTES = 64 << 20
"""Logits that are alive at a time, in bytes: so many positions that reading the output layer's weights costs little."""

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
    L, y = np.ascontiguousarray(logits_NV.numpy()), target_N.numpy().astype(np.int64)
    count = min(torch.get_num_threads(), len(y))
    if count <= 1:
        return joined([columns_of(L, y, columns)], columns)
    cuts = [len(y) * part // count for part in range(count + 1)]
    slices = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    return joined(list(threads(count).map(lambda part: columns_of(L[part], y[part], columns), slices)), columns)


def joined(parts: Sequence[Columns], columns: Sequence[str]) -> Columns:
    """The parts one after another, as float32 and, for ranks, int32."""
    whole: Columns = {}
    for column in columns:
        values = np.concatenate([part[column] for part in parts])
        whole[column] = values.astype(np.int32) if column == "rank" else values.astype(np.float32)
    return whole


@functools.cache
def threads(count: int) -> ThreadPoolExecutor:
    """Workers for the reduction."""
    return ThreadPoolExecutor(count, thread_name_prefix="reduce")
