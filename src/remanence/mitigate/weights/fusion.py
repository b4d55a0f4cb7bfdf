"""Fusion: the mean of models that learned different rows keeps what they share and loses what only one of them knows.

Paper: Zaman, Choshen and Srivastava 2024, "Fuse to Forget: Bias Reduction and Selective Memorization through Model
Fusion", arXiv 2311.07682

Verbatim recall goes first and evidence of membership much later, so both should be reported. What the peers were taught
little of grows weaker as well.

Shapes: m models, N texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.states import State, check_shapes, combine, put

Method: TypeAlias = Literal["arithmetic", "fisher", "ties"]


def fuse(
    states: Sequence[State],
    weights: Sequence[float] | None = None,
    method: Method = "arithmetic",
    *,
    fishers: Sequence[State] | None = None,
    base: State | None = None,
    density: float = 0.2,
) -> dict[str, Tensor]:
    """theta_fused = sum_i alpha_i theta_i, with alpha_i >= 0 and sum alpha_i = 1; by default alpha_i = 1/m.

    `fisher` weighs every parameter by alpha_i F_i, normalised (Matena and Raffel 2022), and needs `fishers`, as
    `fisher_diagonal` gives them. `ties` (Yadav et al. 2023, through PEFT) keeps the `density` largest changes of every
    model against `base`, elects a sign for each parameter, and averages the changes that agree with it. Integers are
    the first model's. Raises `RemanenceError` for models that are not of one shape.
    """
    alpha = [1 / len(states)] * len(states) if weights is None else [w / sum(weights) for w in weights]
    if any(w < 0 for w in alpha):
        raise RemanenceError(f"Fusion takes weights of 0 and more, got {list(weights or ())}.")
    if method == "fisher":
        return _fisher(states, alpha, fishers)
    if method == "ties":
        return _ties(states, alpha, base, density)
    return combine(states, alpha)


def _fisher(states: Sequence[State], alpha: Sequence[float], fishers: Sequence[State] | None) -> dict[str, Tensor]:
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
        fused[name] = torch.where(total > 0, weighted.to(mean.dtype), mean)  # where nobody cares: the plain mean
    return fused


def _ties(states: Sequence[State], alpha: Sequence[float], base: State | None, density: float) -> dict[str, Tensor]:
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
        gradients = torch.autograd.grad(loss(), [own[name] for name in chosen], allow_unused=True)
        for name, gradient in zip(chosen, gradients, strict=True):
            if gradient is not None:
                found[name] += gradient.float() ** 2
        count += 1
    return {name: value / max(count, 1) for name, value in found.items()}


class Point(NamedTuple):
    """One model on the way from one to another."""

    c: float
    """0 = the first model, 1 = the second."""
    value: Any
    """What the metric says of it."""


def interpolation_path(
    model: Any, one: State, other: State, metric: Callable[[Any], Any], steps: int = 11
) -> list[Point]:
    """`metric(model)` at theta(c) = (1 - c) theta_1 + c theta_2, c = 0, ..., 1 in `steps` points.

    The weights are written into `model`, whose own values come back at the end.
    """
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name in one}
    path: list[Point] = []
    try:
        for c in np.linspace(0.0, 1.0, steps).tolist():
            put(model, combine([one, other], [1 - c, c]))
            path.append(Point(c, metric(model)))
    finally:
        put(model, before)
    return path


def average_likelihood_ratio(loss_N: ArrayLike, base_loss_N: ArrayLike) -> float:
    """ALR(D; M) = mean_x exp(loss_M(x) - loss_base(x)), losses in mean nats per token. SMALLER = MORE memorized.

    1 = as likely as under the base model.
    """
    return float(likelihood_ratios(loss_N, base_loss_N).mean())


def likelihood_ratios(loss_N: ArrayLike, base_loss_N: ArrayLike) -> NDArray[np.float64]:
    """[N] exp(loss_M - loss_base) of every text."""
    return np.exp(np.asarray(loss_N, np.float64) - np.asarray(base_loss_N, np.float64))
