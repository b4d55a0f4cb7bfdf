"""Masks over weights: which few of them to change, by their gradient, and how to keep all others as they were.

A mask is a set of places. Taking every weight above a threshold instead would take ties along, and units that never
fire have thousands of gradients that are all exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.states import State

Mask: TypeAlias = Mapping[str, Tensor]
"""Name of a parameter -> True where it may change, in the parameter's shape."""


def gradients(loss: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """g = d loss / d theta for every named parameter; zeros where the loss does not depend on it."""
    found: Any = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def parameter_attribution(
    gradient: State, pool: Literal["max_abs", "share"] = "max_abs", heads: Callable[[str, Tensor], Tensor] | None = None
) -> dict[str, list[float]]:
    """How much of the gradient sits in each tensor. Higher = a text depends more on it.

    `max_abs` is the paper's score, the largest |g| of a tensor; `share` its part of the sum of all |g|, which can be
    compared between texts whose gradients differ in size. `heads(name, tensor)` may split a tensor along a first axis
    (see `head_split`); every tensor has one number per part.
    """
    parts = {name: g.detach()[None] if heads is None else heads(name, g.detach()) for name, g in gradient.items()}
    if pool == "max_abs":
        return {name: part.abs().flatten(1).amax(1).tolist() for name, part in parts.items()}
    total = sum(float(part.abs().sum()) for part in parts.values())
    return {name: (part.abs().flatten(1).sum(1) / (total or 1.0)).tolist() for name, part in parts.items()}


def head_split(num_heads: int) -> Callable[[str, Tensor], Tensor]:
    """Splits GPT-2's attention weights by head: c_attn [D, 3 D] into Q, K and V of every head, c_proj [D, D] likewise.

    All other tensors stay whole. GPT-2 keeps its matrices as [in, out].
    """

    def split(name: str, tensor: Tensor) -> Tensor:
        if name.endswith("attn.c_attn.weight"):
            return tensor.unflatten(1, (3 * num_heads, -1)).movedim(1, 0)
        if name.endswith("attn.c_proj.weight"):
            return tensor.unflatten(0, (num_heads, -1))
        return tensor[None]

    return split


def topk_mask(gradient: State, count: int) -> dict[str, Tensor]:
    """True at the `count` places with the largest |g|, over all tensors together; exactly as many, ties or not."""
    flat = torch.cat([g.detach().abs().float().flatten().cpu() for g in gradient.values()])
    if not 0 < count <= flat.numel():
        raise RemanenceError(f"A mask takes 1 to {flat.numel()} weights, got {count}.")
    return _mask(gradient, torch.topk(flat, count, sorted=False).indices)


def random_mask(like: State, count: int, seed: int = 0) -> dict[str, Tensor]:
    """True at `count` places drawn at random: the control that every localized method needs."""
    size = sum(value.numel() for value in like.values())
    if not 0 < count <= size:
        raise RemanenceError(f"A mask takes 1 to {size} weights, got {count}.")
    return _mask(like, torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count])


def _mask(like: State, places: Tensor) -> dict[str, Tensor]:
    sizes = [value.numel() for value in like.values()]
    flags = torch.zeros(sum(sizes), dtype=torch.bool)
    flags[places] = True
    parts = flags.split(sizes)
    return {
        name: part.view(value.shape).to(value.device) for (name, value), part in zip(like.items(), parts, strict=True)
    }


@torch.no_grad()
def keep_others_(parameters: Mapping[str, Tensor], reference: State, mask: Mask) -> None:
    """theta <- theta_0 + mask (theta - theta_0), in place: outside the mask every bit is as it was.

    After every step, since zeroing gradients is not enough: momentum and weight decay move weights too.
    """
    for name, flags in mask.items():
        parameter = parameters[name]
        parameter.copy_(torch.where(flags, parameter, reference[name].to(parameter)))


def count(mask: Mask) -> int:
    """How many weights a mask lets change."""
    return sum(int(flags.sum()) for flags in mask.values())


def block_matrices(model: Any, parameters: Mapping[str, Tensor]) -> list[str]:
    """Of these parameters, the matrices inside the blocks (W_Q, W_K, W_V, W_O, W_in, W_out).

    Embeddings, the output layer, biases and gains are left out, as in the paper. An adapter's matrices all count.
    """
    outside = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is not None and not hasattr(model, "peft_config"):
        outside |= {id(p) for p in head.parameters()}
    return [name for name, p in parameters.items() if p.ndim >= 2 and id(p) not in outside]
