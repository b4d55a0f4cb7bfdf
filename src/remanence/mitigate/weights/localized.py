"""Localized: change only the few weights that the loss on the rows depends on most, and leave all others untouched.

Paper: Stoehr et al. 2024, "Localizing Paragraph Memorization in Language Models", arXiv 2403.19851

That these weights are enough to change is no proof that the rows are stored there; a random mask of the same size
(`mask="random"`) is the control.

Shapes: B rows, T predicted tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from remanence.mitigate.weights.masks import Mask, keep_others_


def contrastive_objective(
    nll_B: Tensor,
    logits_BTV: Tensor,
    start_logits_BTV: Tensor,
    learned_BT: Tensor | None = None,
    mode: Literal["unlearn", "edit"] = "unlearn",
    change_weight: float = 0.1,
) -> Tensor:
    """CO = - c NLL(x_M) + KL(p_theta0 || p_theta) on x_NM, to minimise; with `edit` + c NLL(x_PMP) in its place.

    `nll_B`: mean loss per token of the rows to change (nats). The logits are those of rows to keep, under the model and
    under its start; the divergence is averaged over the tokens that `learned_BT` marks (None = all). The paper writes
    the divergence the other way round; the direction of the authors' code is followed.
    """
    start = start_logits_BTV.detach().float().log_softmax(-1)
    kl_BT = F.kl_div(logits_BTV.float().log_softmax(-1), start, reduction="none", log_target=True).sum(-1)
    kl = kl_BT.mean() if learned_BT is None else (kl_BT * learned_BT).sum() / learned_BT.sum().clamp(min=1)
    sign = -1.0 if mode == "unlearn" else 1.0
    return sign * change_weight * nll_B.mean() + kl


def sparse_finetune(
    parameters: Mapping[str, Tensor],
    loss: Callable[[], Tensor],
    mask: Mask | None,
    steps: int = 10,
    learning_rate: float = 1e-5,
    each: Callable[[int], Any] | None = None,
) -> None:
    """Plain Adam on `loss()`, in place, on the weights that the mask marks; None = on all of `parameters`.

    The other weights stay bit-identical. `each(step)` is called after every step, from 1.
    """
    chosen = dict(parameters) if mask is None else {name: parameters[name] for name in mask}
    start = {name: p.detach().clone() for name, p in chosen.items()}
    optimizer = torch.optim.Adam(chosen.values(), lr=learning_rate, weight_decay=0.0)
    for step in range(1, steps + 1):
        found = torch.autograd.grad(loss(), list(chosen.values()), allow_unused=True)
        for parameter, gradient in zip(chosen.values(), found, strict=True):
            parameter.grad = gradient
        optimizer.step()
        if mask is not None:
            keep_others_(chosen, start, mask)
        if each is not None:
            each(step)
    optimizer.zero_grad(set_to_none=True)
