"""Where unlearning begins: which weights may change, and what the model said before, without a second model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Generator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.training.sequences import unwrapped


def trainable(model: Any) -> dict[str, nn.Parameter]:
    """What may be changed, by name: an adapter's own weights for a `PeftModel`, else every weight; tied ones once.

    Sets `requires_grad` accordingly, for models come frozen from `load_model`.
    """
    model.requires_grad_(False)
    if hasattr(model, "peft_config"):
        model.set_requires_grad(model.active_adapters, True)
    else:
        for weight in model.parameters():
            weight.requires_grad_(weight.is_floating_point())
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def chosen(model: Any, parameters: Collection[str] | str | None) -> dict[str, nn.Parameter]:
    """Of `trainable(model)` the weights of these names, or whose name the regular expression finds; the others frozen.

    Raises `RemanenceError` when a name is not among them or nothing matches.
    """
    weights = trainable(model)
    if parameters is None:
        return weights
    if isinstance(parameters, str):
        kept = {name for name in weights if re.search(parameters, name)}
        missing = [] if kept else [parameters]
    else:
        kept, missing = set(parameters), sorted(set(parameters) - set(weights))
    if missing or not kept:
        raise RemanenceError(
            f"No weight that may be changed is called {(missing or ['anything'])[0]!r}; "
            f"there are {len(weights)}, such as {next(iter(weights))!r}."
        )
    for name, weight in weights.items():
        weight.requires_grad_(name in kept)
    return {name: weight for name, weight in weights.items() if name in kept}


@contextlib.contextmanager
def kept_flags(model: Any) -> Generator[None]:
    """While open, `requires_grad` may be set at will; afterwards every weight has its old flag again."""
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)


def changeable(model: Any) -> dict[str, nn.Parameter]:
    """As `trainable`, with nothing set."""
    with kept_flags(model):
        return trainable(model)


@contextlib.contextmanager
def evaluating(model: Any) -> Generator[None]:
    """Dropout off for a while; every part of the model is then in the mode it was in."""
    modules = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in modules:
            module.training = True


class Start:
    """The values that the trained weights had at the start; called, the model answers as it did then.

    A forward pass borrows the live model with those values in place of its own (`torch.func.functional_call`): ties
    hold, adapters and hooks work, and nothing but the trained weights stands in memory twice.
    """

    def __init__(self, model: Any, weights: Mapping[str, Tensor] | None = None) -> None:
        """`weights` by name: those that will be trained; default, all that require a gradient, or else may change."""
        live = unwrapped(model)
        if weights is None:
            weights = {n: w for n, w in live.named_parameters() if w.requires_grad} or changeable(live)
        self.values: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def __call__(self, model: Any, **inputs: Any) -> Any:
        """The forward pass of the start, without gradient and without dropout."""
        live = unwrapped(model)
        with evaluating(live):
            return torch.func.functional_call(live, self.values, (), inputs)

    @torch.no_grad()
    def restore(self, model: Any) -> None:
        """Put the start's values back into the live model."""
        weights = dict(unwrapped(model).named_parameters())
        for name, value in self.values.items():
            weights[name].copy_(value)
