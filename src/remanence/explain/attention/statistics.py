"""Four ways to say in one number how evenly an attention head spreads its look over the tokens it may see.

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714 (entropy over the
input tokens); the participation ratio is the inverse Simpson index, the Gini coefficient is Gini's of 1912.

Letters: a [..., K] attention weights over K keys, n how many of them are visible. The weights of the visible keys are
taken as shares of their sum, so that an attention sink outside of the row, or half precision, changes no scale. All
four lie in [0, 1] and are NaN for a query that sees one key or none: it has nothing to spread.
"""

from __future__ import annotations

import torch
from torch import Tensor

STATISTICS = {
    "entropy": "H(a) / log n; 1 = all visible tokens get the same, 0 = one gets everything",
    "participation": "1 / (n sum a^2); 1 = all visible tokens get the same, 1/n = one gets everything",
    "top": "share of the 5 most attended tokens; NaN where no more than 5 are visible",
    "gini": "Gini coefficient times n / (n - 1); 0 = all visible tokens get the same, 1 = one gets everything",
}
"""The last axis of every table of this package, in this order."""
FLAT = {"entropy": 1.0, "participation": 1.0, "top": -1.0, "gini": -1.0}
"""Times this, every statistic is higher for flatter attention."""
TOP = 5
"""How many tokens `top` adds up."""


def shares(weights: Tensor, visible: Tensor) -> Tensor:
    """[..., K] the weights of the visible keys over their sum, 0 elsewhere, in float32 at least; 0 / 0 gives NaN."""
    kept = weights.to(torch.promote_types(weights.dtype, torch.float32)).masked_fill(~visible, 0.0)
    return kept / kept.sum(-1, keepdim=True)


def normalised_entropy(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] H / log n = -sum_k a_k ln a_k / ln n, from weights [..., K] and visible [..., K] (True = may be seen)."""
    return _entropy(shares(weights, visible), _count(visible))


def participation_ratio(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] 1 / (n sum_k a_k^2): the share of the visible keys that would get it all if each of them got the same."""
    return _participation(shares(weights, visible), _count(visible))


def top_mass(weights: Tensor, visible: Tensor, k: int = TOP) -> Tensor:
    """[...] sum of the k largest shares; NaN where n <= k, for there it is 1 whatever the head does."""
    return _top(_ascending(shares(weights, visible)), _count(visible), k)


def gini(weights: Tensor, visible: Tensor) -> Tensor:
    """[...] n / (n - 1) times the Gini coefficient, sum_i (2 i - n - 1) a_(i) / n over shares in rising order."""
    return _gini(_ascending(shares(weights, visible)), _count(visible))


def attention_statistics(weights: Tensor, visible: Tensor) -> Tensor:
    """[..., 4] all of `STATISTICS` from weights [..., K] and visible, which may be broadcast to them."""
    visible = visible.expand(weights.shape)
    a, n = shares(weights, visible), _count(visible)
    rising = _ascending(a)
    return torch.stack([_entropy(a, n), _participation(a, n), _top(rising, n, TOP), _gini(rising, n)], dim=-1)


def _count(visible: Tensor) -> Tensor:
    """[...] n, NaN where it is under 2."""
    n = visible.sum(-1).float()
    return n.masked_fill(n < 2, torch.nan)


def _entropy(a: Tensor, n: Tensor) -> Tensor:
    return (torch.special.entr(a).sum(-1) / n.log()).clamp(0, 1)


def _participation(a: Tensor, n: Tensor) -> Tensor:
    return (1 / (n * a.square().sum(-1))).clamp(max=1)


def _top(rising: Tensor, n: Tensor, k: int) -> Tensor:
    return rising[..., -k:].sum(-1).clamp(max=1).masked_fill(~(n > k), torch.nan)


def _gini(rising: Tensor, n: Tensor) -> Tensor:
    """Hidden keys stand first with a share of 0, so only the distance from the end counts."""
    last = torch.arange(1 - rising.shape[-1], 1, device=rising.device, dtype=rising.dtype)  # i - n
    rank = 2 * last + n[..., None] - 1  # 2 i - n - 1
    return ((rank * rising).sum(-1) / (n - 1)).clamp(0, 1)


def _ascending(a: Tensor) -> Tensor:
    """The shares in rising order; NumPy sorts short rows many times faster than torch on a CPU."""
    if a.device.type != "cpu" or a.requires_grad:
        return a.sort(dim=-1).values
    found = a.detach().numpy().copy()
    found.sort(axis=-1)
    return torch.from_numpy(found)
