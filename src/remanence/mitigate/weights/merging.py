"""Means of models in which some weights count more: by how much the loss depends on them, or by how far they moved.

Papers: Matena and Raffel 2022, "Merging Models with Fisher-Weighted Averaging", arXiv 2111.09832; Yadav et al. 2023,
"TIES-Merging: Resolving Interference When Merging Models", arXiv 2306.01708 (through PEFT)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.states import State, check_shapes, combine


def fisher_mean(states: Sequence[State], alpha: Sequence[float], fishers: Sequence[State] | None) -> dict[str, Tensor]:
    """sum_i alpha_i F_i theta_i / sum_i alpha_i F_i, weight by weight; the plain mean where every F is 0."""
    check_shapes(states)
    if fishers is None or len(fishers) != len(states):
        raise RemanenceError("Fisher-weighted fusion needs the Fisher diagonal of every model: give fishers.")
    fused = combine(states, alpha)
    for name, mean in fused.items():
        if not mean.is_floating_point():
            continue
        weights = torch.stack([w * f[name].float().to(mean.device) for w, f in zip(alpha, fishers, strict=True)])
        values = torch.stack([state[name].detach().float().to(mean.device) for state in states])
        total = weights.sum(0)
        weighted = (weights * values).sum(0) / total.clamp(min=torch.finfo(torch.float32).tiny)
        fused[name] = torch.where(total > 0, weighted.to(mean.dtype), mean)
    return fused


def ties_mean(states: Sequence[State], alpha: Sequence[float], base: State | None, density: float) -> dict[str, Tensor]:
    """base + TIES of the changes: trim each to its `density` largest, elect signs, average what agrees."""
    from peft.utils.merge_utils import ties

    if base is None:
        raise RemanenceError("TIES sums changes against the base model, which was not given: give base.")
    if not 0 < density < 1:
        raise RemanenceError(f"density is the share of changes that TIES keeps, between 0 and 1, got {density}.")
    check_shapes([base, *states])
    fused: dict[str, Tensor] = {}
    for name, start in base.items():
        if not start.is_floating_point():
            fused[name] = states[0][name].clone()
            continue
        changes = [state[name].detach().float().to(start.device) - start.detach().float() for state in states]
        # PEFT divides the sum by the number of models that agree, so the weights are given times m
        merged = ties(changes, torch.tensor(alpha) * len(states), density)
        fused[name] = (start.detach().float() + merged).to(start.dtype)
    return fused


def fisher_diagonal(
    model: Any, losses: Iterable[Callable[[], Tensor]], names: Iterable[str] | None = None
) -> dict[str, Tensor]:
    """Mean over examples of the squared gradient of the loss: the empirical Fisher diagonal, float32.

    Each item of `losses` computes the summed negative log-likelihood (nats) of ONE example when called. `names` are the
    parameters wanted, by default all that require gradients.
    """
    chosen = [n for n, p in model.named_parameters() if p.requires_grad] if names is None else list(names)
    own: dict[str, Tensor] = dict(model.named_parameters())
    found = {name: torch.zeros_like(own[name], dtype=torch.float32) for name in chosen}
    count = 0
    for loss in losses:
        gradients: Any = torch.autograd.grad(loss(), [own[name] for name in chosen], allow_unused=True)
        for name, gradient in zip(chosen, gradients, strict=True):
            if gradient is not None:
                found[name] += gradient.float() ** 2
        count += 1
    return {name: value / max(count, 1) for name, value in found.items()}
