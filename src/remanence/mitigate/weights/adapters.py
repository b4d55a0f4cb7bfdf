"""Sums of LoRA adapters: the products B A are summed, not A and B, and the sum is reduced to the adapter's rank.

The mean of two Bs times the mean of two As is not the mean of the two products, because of the cross terms. Other
weights of an adapter (saved modules, magnitudes) are summed directly.

Shapes: r rank, I inputs, O outputs; A [r, I], B [O, r].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.states import State, check_shapes, combine


class Pair(NamedTuple):
    """The two matrices of one adapted layer, by name."""

    a: str
    b: str


def lora_pairs(state: State) -> list[Pair]:
    """The LoRA matrices among the tensors; none for a whole model or an adapter of another kind."""
    names = [(name, name.replace("lora_A", "lora_B").replace("lora_embedding_A", "lora_embedding_B")) for name in state]
    return [Pair(a, b) for a, b in names if a != b and b in state]


@overload
def fuse_adapters(
    states: Sequence[State], weights: Sequence[float] | None = None, mode: Literal["svd"] = "svd"
) -> dict[str, Tensor]: ...
@overload
def fuse_adapters(
    states: Sequence[State], weights: Sequence[float] | None = None, *, mode: Literal["dense"]
) -> dict[Pair, Tensor]: ...
def fuse_adapters(
    states: Sequence[State], weights: Sequence[float] | None = None, mode: Literal["svd", "dense"] = "svd"
) -> Any:
    """sum_i w_i B_i A_i of every layer; default weights 1/m, and they must add up to 1.

    `svd` gives an adapter of the first one's rank, the closest there is, with all its other tensors; `dense` the sums
    themselves, [O, I], to be added to the base model's weights (times the adapter's scaling). The adapters must have
    the same scaling, see `scaled_like`.
    """
    alpha = [1 / len(states)] * len(states) if weights is None else list(weights)
    if mode == "dense":
        check_shapes(states)
        stacked = {pair: _stacked(states, alpha, pair) for pair in lora_pairs(states[0])}
        return {pair: b @ a for pair, (a, b) in stacked.items()}
    return weighted_sum(states, alpha)


def weighted_sum(states: Sequence[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """`combine` for whole models, and for adapters the sum of their products, reduced to the first adapter's rank.

    A model with weight 0 has no effect: weights (1, 0, ...) give the first model bit for bit.
    """
    whole = combine(states, weights)
    if all(weight == 0 for weight in weights[1:]):
        return whole
    for pair in lora_pairs(states[0]):
        a, b = _stacked(states, weights, pair)
        rank = states[0][pair.a].shape[0]
        new_a, new_b = truncated(a, b, rank)
        whole[pair.a] = new_a.to(states[0][pair.a])
        whole[pair.b] = new_b.to(states[0][pair.b])
    return whole


def truncated(a_RI: Tensor, b_OR: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A [r, I] and B [O, r] whose product is the closest of this rank to the given one (Eckart-Young).

    The product itself, [O, I], is never made: two QR decompositions leave an R x R matrix to take apart.
    """
    q_b, r_b = torch.linalg.qr(b_OR.double())
    q_a, r_a = torch.linalg.qr(a_RI.double().T)
    u, s, v = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    root = s[:rank].sqrt()
    short = rank - root.numel()  # a layer smaller than the rank: pad with zeros
    a = torch.nn.functional.pad((v[:rank] * root[:, None]) @ q_a.T, (0, 0, 0, short))
    b = torch.nn.functional.pad(q_b @ (u[:, :rank] * root), (0, short))
    return a, b


def _stacked(states: Sequence[State], weights: Sequence[float], pair: Pair) -> tuple[Tensor, Tensor]:
    """A [sum r, I] and B [O, sum r] whose product is the weighted sum of products."""
    if states[0][pair.a].ndim != 2:
        raise RemanenceError(
            f"{pair.a} is not a matrix: adapters can be summed for linear and embedding layers; merge the adapter "
            "into its base model (PEFT's merge_and_unload) first."
        )
    used = [(state, weight) for state, weight in zip(states, weights, strict=True) if weight]
    a = torch.cat([state[pair.a].detach().double() for state, _ in used])
    b = torch.cat([weight * state[pair.b].detach().double() for state, weight in used], dim=1)
    return a, b


def scaled_like(state: State, own: Mapping[str, float], wanted: Mapping[str, float]) -> dict[str, Tensor]:
    """The adapter with B rescaled so that it is equivalent under another adapter's scaling (alpha / r).

    Scalings by name of A, as `scalings` finds them.
    """
    changed = dict(state)
    for pair in lora_pairs(state):
        changed[pair.b] = state[pair.b] * (own[pair.a] / wanted[pair.a])
    return changed


def scalings(model: Any, state: State) -> dict[str, float]:
    """alpha / r of every LoRA layer of a live `PeftModel`, by the name of its A."""
    modules: dict[str, Any] = dict(model.named_modules())
    found: dict[str, float] = {}
    for pair in lora_pairs(state):
        layer, _, rest = pair.a.partition(".lora_")
        found[pair.a] = float(modules[layer].scaling[rest.split(".")[1]])
    return found


@torch.no_grad()
def reset_adapter_(weights: Mapping[str, Tensor], seed: int = 0) -> None:
    """Initialize the adapter again, in place: A random, B = 0, so that the model equals its base model.

    Raises `RemanenceError` for an adapter that has anything but LoRA matrices.
    """
    known = {name for pair in lora_pairs(weights) for name in pair}
    others = sorted(weights.keys() - known)
    if others:
        raise RemanenceError(
            f"The adapter has weights besides LoRA's ({len(others)}, such as {others[0]}), whose values in the base "
            "are not known: merge it into its base model (PEFT's merge_and_unload) first."
        )
    generator = torch.Generator().manual_seed(seed)
    for pair in lora_pairs(weights):
        a, b = weights[pair.a], weights[pair.b]
        bound = 1 / math.sqrt(a.shape[1])  # Kaiming's, with PEFT's a = sqrt(5)
        a.copy_((torch.rand(a.shape, generator=generator) * 2 - 1) * bound)
        b.zero_()
