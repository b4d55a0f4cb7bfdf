"""Four statistics of how evenly an attention head distributes its weights over the visible tokens.

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (entropy over the
input tokens); the participation ratio is the inverse Simpson index, the Gini coefficient is Gini's of 1912.

Notation: a [..., K] attention weights over K keys, n the number of visible keys. The weights of the visible keys are
divided by their sum, so that an attention sink outside the row, or half precision, does not change the scale. All four
lie in [0, 1], and are NaN for a query with fewer than two visible keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

STATISTICS = {
    "entropy": "H(a) / log n; 1 = equal weights, 0 = all weight on one token",
    "participation": "1 / (n sum a^2); 1 = equal weights, 1/n = all weight on one token",
    "top": "weight of the 5 most attended tokens; NaN if no more than 5 are visible",
    "gini": "Gini coefficient times n / (n - 1); 0 = equal weights, 1 = all weight on one token",
}
"""The last axis of every attention table, in this order."""
FLAT = {"entropy": 1.0, "participation": 1.0, "top": -1.0, "gini": -1.0}
"""Sign by which each statistic is multiplied so that higher = flatter attention."""
TOP = 5
"""Number of tokens in `top`."""


def shares(weights: Tensor, visible: Tensor) -> Tensor:
    """[..., K] weights of the visible keys divided by their sum, 0 elsewhere, in float32 or wider; 0 / 0 gives NaN."""
    kept = weights.to(torch.promote_types(weights.dtype, torch.float32)).masked_fill(~visible, 0.0)
    return kept / kept.sum(-1, keepdim=True)


def normalised_entropy(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] H / log n = -sum_k a_k ln a_k / ln n, from weights [..., K] and visible [..., K]."""
    return _entropy(shares(weights, visible), _count(visible))


def participation_ratio(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] 1 / (n sum_k a_k^2): effective number of attended keys as a share of the visible ones."""
    return _participation(shares(weights, visible), _count(visible))


def top_mass(weights: Tensor, visible: Tensor, k: int = TOP) -> Tensor:
    """[...] sum of the k largest shares; NaN if n <= k, where it is always 1."""
    return _top(_ascending(shares(weights, visible)), _count(visible), k)


def gini(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] n / (n - 1) times the Gini coefficient, sum_i (2 i - n - 1) a_(i) / n over shares in ascending order."""
    return _gini(_ascending(shares(weights, visible)), _count(visible))


def attention_statistics(weights: Tensor, visible: Tensor) -> Tensor:
    """[..., 4] all of `STATISTICS` from weights [..., K] and visible, broadcast to them."""
    visible = visible.expand(weights.shape)
    a, n = shares(weights, visible), _count(visible)
    ascending = _ascending(a)
    return torch.stack([_entropy(a, n), _participation(a, n), _top(ascending, n, TOP), _gini(ascending, n)], dim=-1)


def _count(visible: Tensor) -> Tensor:
    """[...] n, NaN if it is below 2."""
    n = visible.sum(-1).float()
    return n.masked_fill(n < 2, torch.nan)


def _entropy(a: Tensor, n: Tensor) -> Tensor:
    return (torch.special.entr(a).sum(-1) / n.log()).clamp(0, 1)


def _participation(a: Tensor, n: Tensor) -> Tensor:
    return (1 / (n * a.square().sum(-1))).clamp(max=1)


def _top(ascending: Tensor, n: Tensor, k: int) -> Tensor:
    return ascending[..., -k:].sum(-1).clamp(max=1).masked_fill(~(n > k), torch.nan)


def _gini(ascending: Tensor, n: Tensor) -> Tensor:
    """Hidden keys come first with a share of 0, so ranks are counted from the end."""
    last = torch.arange(1 - ascending.shape[-1], 1, device=ascending.device, dtype=ascending.dtype)  # i - n
    rank = 2 * last + n[..., None] - 1  # 2 i - n - 1
    return ((rank * ascending).sum(-1) / (n - 1)).clamp(0, 1)


def _ascending(a: Tensor) -> Tensor:
    """The shares in ascending order; on a CPU NumPy sorts short rows many times faster than torch."""
    if a.device.type != "cpu" or a.requires_grad:
        return a.sort(dim=-1).values
    values = a.detach().numpy().copy()
    values.sort(axis=-1)
    return torch.from_numpy(values)
