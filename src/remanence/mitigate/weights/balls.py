"""Projection into a ball around a model's weights.

Project after every optimizer step and in float32: near 0.1 the values of bfloat16 are 5e-4 apart, more than a useful
radius.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from remanence.mitigate.weights.states import State


@torch.no_grad()
def project_linf_(parameters: Mapping[str, Tensor], reference: State, delta: float | Mapping[str, float]) -> None:
    """theta <- theta_0 + clip(theta - theta_0, -delta, +delta), elementwise and in place.

    A mapping gives every tensor a delta of its own. A delta of 0 gives theta_0 back bit for bit, an infinite one
    changes nothing. Parameters without a reference are left alone.
    """
    for name, parameter in parameters.items():
        if name in reference:
            start = reference[name].to(parameter)
            radius = delta[name] if isinstance(delta, Mapping) else delta
            parameter.copy_(torch.clamp(parameter, start - radius, start + radius))


@torch.no_grad()
def project_l2_(parameters: Mapping[str, Tensor], reference: State, delta: float) -> None:
    """theta <- theta_0 + (theta - theta_0) min(1, delta / ||theta - theta_0||_2), all tensors as one vector."""
    size = math.sqrt(sum(_squares(p - reference[n].to(p)) for n, p in parameters.items() if n in reference))
    if size > delta:
        for name, parameter in parameters.items():
            if name in reference:
                start = reference[name].to(parameter)
                parameter.copy_(start + (parameter - start) * (delta / size))


def relative_radii(reference: State, delta: float) -> dict[str, float]:
    """A radius for every tensor: delta times the root mean square of its own weights.

    Gains stand near 1 and embeddings near 0.05, so that one absolute radius is small for the first and large for the
    others. A tensor of zeros (a fresh bias, the B of a fresh adapter) gets delta itself, or it could never move.
    """
    sizes = {name: math.sqrt(_squares(value) / max(value.numel(), 1)) for name, value in reference.items()}
    return {name: delta * size if size else delta for name, size in sizes.items()}


class Moved(NamedTuple):
    """How far one tensor is from where it was."""

    largest: float
    """max |theta - theta_0|"""
    mean: float
    changed: int
    """How many of its weights are different."""


@torch.no_grad()
def edit_report(parameters: Mapping[str, Tensor], reference: State) -> dict[str, Moved]:
    """For every tensor, how far its weights moved."""
    report: dict[str, Moved] = {}
    for name, parameter in parameters.items():
        if name in reference:
            gap = (parameter.detach() - reference[name].to(parameter)).abs()
            report[name] = Moved(float(gap.max()), float(gap.mean()), int((gap != 0).sum()))
    return report


def _squares(values: Tensor) -> float:
    return float((values.detach().double() ** 2).sum())
