"""Weighted sums of models that were fine-tuned from one base model.

Every sum is written theta_1 + sum_i w_i (theta_i - theta_1), with weights that add up to 1. Then a model summed with
itself is itself to the last bit, whatever the weights, and a weight of 0 leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from remanence.core.errors import RemanenceError

State: TypeAlias = Mapping[str, Tensor]
"""Name of a tensor -> its values: a `state_dict`, or the part of it that a method may change."""

MIN_COSINE = 0.2
"""Smallest cosine between matrices of two models of one base, even after long fine-tuning; random ones have 0."""


def combine(states: Sequence[State], weights: Sequence[float]) -> dict[str, Tensor]:
    """theta_1 + sum_i w_i (theta_i - theta_1), tensor by tensor; the weights must add up to 1, and may be negative.

    Floats are summed in float32 (float64 stays) and given back in their own type. Integers and booleans (buffers) are
    the first model's. Tied weights stay tied: what was equal in every model is equal in the sum. Raises
    `RemanenceError` for models that are not of one shape.
    """
    check_shapes(states)
    if len(weights) != len(states) or not math.isclose(sum(weights), 1.0, abs_tol=1e-6):
        raise RemanenceError(f"The weights of {len(states)} models must add up to 1, got {list(weights)}.")
    first = states[0]
    return {name: _sum([state[name] for state in states], weights) for name in first}


def _sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    first = tensors[0].detach()
    if not first.is_floating_point():
        return first.clone()
    kind = torch.promote_types(first.dtype, torch.float32)
    whole = first.to(kind, copy=True)
    start = first.to(kind)
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        if weight:
            whole += weight * (tensor.detach().to(whole) - start)
    return whole.to(first.dtype)


def check_shapes(states: Sequence[State]) -> None:
    """Raises `RemanenceError` unless all models have the same tensors."""
    if not states:
        raise RemanenceError("There is no model to sum: give at least one.")
    first = states[0]
    for number, state in enumerate(states[1:], 2):
        odd = sorted(first.keys() ^ state.keys())
        odd += [name for name in first if name in state and first[name].shape != state[name].shape]
        if odd:
            raise RemanenceError(
                f"Model {number} differs from the first in architecture ({len(odd)} tensors, such as {odd[0]}): "
                "only models fine-tuned from the same base can be summed."
            )


def cosine(one: State, other: State) -> float:
    """Cosine between two models, over their matrices. Gains and biases are left out: they start at 1 and 0 anywhere."""
    dot = norm_one = norm_other = 0.0
    for name, a in one.items():
        if a.is_floating_point() and a.ndim >= 2:
            x, y = a.detach().float().flatten(), other[name].detach().float().flatten().to(a.device)
            dot, norm_one, norm_other = dot + float(x @ y), norm_one + float(x @ x), norm_other + float(y @ y)
    size = math.sqrt(norm_one * norm_other)
    return dot / size if size else math.nan


def check_ancestor(states: Sequence[State], names: Sequence[str] = ()) -> None:
    """Raises `RemanenceError` for a model whose matrices are unrelated to those of the first one.

    Two models from different random initializations have a cosine near 0, and their mean is noise. A high cosine does
    not prove a common base, but it is what averaging needs.
    """
    check_shapes(states)
    for number, state in enumerate(states[1:], 1):
        similarity = cosine(states[0], state)
        if similarity < MIN_COSINE:
            name = names[number] if number < len(names) else f"Model {number + 1}"
            raise RemanenceError(
                f"{name} does not come from the same base as the first model (cosine of weights {similarity:.2f}): "
                "fuse models that were fine-tuned from one checkpoint."
            )


@torch.no_grad()
def write_state_(model: Any, state: State) -> None:
    """Write the tensors into a live model, in place; other parameters keep their values."""
    own: dict[str, Tensor] = dict(model.named_parameters())
    for name, values in state.items():
        own[name].copy_(values)
