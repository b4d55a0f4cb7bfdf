"""Which tokens the goldfish loss leaves out: a function of the words nearby, so that every copy loses the same ones.

Shapes: B rows, T tokens. A mask is True where the token carries loss.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Strategy: TypeAlias = Literal["hash", "static", "random", "hash-official"]

SEED = 2971215073
"""Seed of the published runs (a Fibonacci prime)."""

_GOLDEN, _MIX_1, _MIX_2 = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
"""Constants of splitmix64, as signed 64-bit integers."""
_OFFICIAL_TABLE_SIZE = 1_000_003


def goldfish_mask(
    targets: Tensor,
    k: int = 4,
    strategy: Strategy = "hash",
    context_width: int = 13,
    include_target: bool = False,
    seed: int = SEED,
    ignore_index: int = -100,
    context: Tensor | None = None,
    positions: Tensor | None = None,
) -> Tensor:
    """[B, T] G_t: False where the target is dropped (about 1 in k) or was `ignore_index` already.

    - `hash`: dropped iff u(window) < 1/k, with u a hash of the `context_width` tokens before the target (as in the
      paper) or, with `include_target`, of those that end at it (as in the authors' code), into [0, 1).
    - `static`: every k-th token of the row (of its document, with `positions`), the first one included.
    - `random`: a coin per position from `seed`; a baseline, because a copy loses other tokens.
    - `hash-official`: the authors' hash table, bit for bit on CPU, for comparison with their runs. Its key is the
      product of the window, so it does not see the order of tokens and is 0 whenever id 0 is in the window; with their
      seed all such windows are dropped at k <= 4. It always includes the target.

    `targets` may be shifted or not: a window only looks back from its target. `context` [B, T] gives the tokens to hash
    where targets hide them (prompt tokens under `ignore_index`); itself `ignore_index` where there is no token, as in
    padding. `positions` [B, T] (0 at the start of each document) keeps windows within a document of a packed row. A
    target with less than a whole window behind it is kept, so padding on either side changes nothing; answers no longer
    than the window are then taught whole when nothing stands before them, as in an encoder-decoder.
    """
    if k < 2:
        raise ValueError(f"k must be at least 2 (one token in k is dropped), got {k}")
    if context_width < 1:
        raise ValueError(f"context_width must be at least 1, got {context_width}")
    if strategy not in get_args(Strategy):
        raise ValueError(f"no goldfish strategy is called {strategy!r}; choose one of {', '.join(get_args(Strategy))}")
    carries = targets != ignore_index
    tokens = targets if context is None else context
    if strategy == "static":
        drop = _places(targets, context, positions, ignore_index) % k == 0
    elif strategy == "random":
        generator = torch.Generator().manual_seed(seed)
        drop = (torch.rand(targets.shape, generator=generator) < 1 / k).to(targets.device)
    elif strategy == "hash":
        real = tokens != ignore_index
        lag = 0 if include_target else 1
        drop = _below(_window_hash(tokens.long(), context_width, lag, seed), k)
        drop = drop & _whole_window(real, positions, context_width, lag)
    else:
        drop = _official_drop(tokens.long(), k, context_width)
        drop = drop & _whole_window(tokens != ignore_index, positions, context_width, lag=0)
    return carries & ~drop


def _places(targets: Tensor, context: Tensor | None, positions: Tensor | None, ignore_index: int) -> Tensor:
    """[B, T] the number of each token in its document, or in its row without the padding before it."""
    if positions is not None:
        return positions.expand_as(targets)
    if context is not None:
        return (context != ignore_index).long().cumsum(1) - 1
    return torch.arange(targets.shape[1], device=targets.device).expand_as(targets)


def _window_hash(tokens: Tensor, width: int, lag: int, seed: int) -> Tensor:
    """[B, T] 64-bit hash of tokens t-lag-width+1 .. t-lag in their order; garbage where the row has no such window."""
    state = torch.full_like(tokens, seed)
    for back in range(lag + width - 1, lag - 1, -1):
        state = _splitmix(state ^ tokens.roll(back, dims=1))
    return state


def _splitmix(x: Tensor) -> Tensor:
    """splitmix64 of each element; int64 products wrap as unsigned ones do."""
    x = x + _GOLDEN
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _below(hashed: Tensor, k: int) -> Tensor:
    """u < 1/k for u = the upper 53 bits read as a number in [0, 1)."""
    return _shift(hashed, 11) < (1 << 53) // k


def _whole_window(real: Tensor, positions: Tensor | None, width: int, lag: int) -> Tensor:
    """[B, T] whether the window of t lies within the row, holds tokens only, and stays in t's document."""
    count = torch.nn.functional.pad(real.long().cumsum(1), (1, 0))
    at = torch.arange(real.shape[1], device=real.device)
    end, start = (at + 1 - lag).clamp(min=0), (at + 1 - lag - width).clamp(min=0)
    whole = count[:, end] - count[:, start] == width
    if positions is not None:
        whole = whole & (positions >= width + lag - 1)
    return whole


@cache
def _official_table() -> Tensor:
    return torch.rand(_OFFICIAL_TABLE_SIZE, generator=torch.Generator().manual_seed(SEED))


def _official_drop(tokens: Tensor, k: int, width: int) -> Tensor:
    drop = torch.zeros_like(tokens, dtype=torch.bool)
    if tokens.shape[1] >= width:
        key = tokens.unfold(1, width, 1).prod(dim=-1) % _OFFICIAL_TABLE_SIZE
        drop[:, width - 1 :] = _official_table().to(tokens.device)[key] < 1 / k
    return drop
