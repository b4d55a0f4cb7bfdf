"""The weights that may be trained, their values before training, and reading a model without changing its training."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Collection, Generator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.training.sequences import unwrapped


def set_trainable(model: Any) -> dict[str, nn.Parameter]:
    """Mark and return the weights that may be trained, by name; tied weights once.

    For a `PeftModel` these are the active adapter's own weights, else all floating-point weights. Sets `requires_grad`,
    because models come frozen from `load_model`.
    """
    model.requires_grad_(False)
    if hasattr(model, "peft_config"):
        model.set_requires_grad(model.active_adapters, True)
    else:
        for weight in model.parameters():
            weight.requires_grad_(weight.is_floating_point())
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def select_trainable(model: Any, parameters: Collection[str] | str | None) -> dict[str, nn.Parameter]:
    """Of `set_trainable(model)` the weights with these names, or whose name the regular expression finds.

    All others are frozen. Raises `RemanenceError` when a name is unknown or nothing matches.
    """
    weights = set_trainable(model)
    if parameters is None:
        return weights
    if isinstance(parameters, str):
        selected = {name for name in weights if re.search(parameters, name)}
        missing = [] if selected else [parameters]
    else:
        selected, missing = set(parameters), sorted(set(parameters) - set(weights))
    if missing or not selected:
        raise RemanenceError(
            f"No weight that may be trained is called {(missing or ['anything'])[0]!r}; "
            f"there are {len(weights)}, such as {next(iter(weights))!r}."
        )
    for name, weight in weights.items():
        weight.requires_grad_(name in selected)
    return {name: weight for name, weight in weights.items() if name in selected}


def trainable_state(model: Any) -> dict[str, nn.Parameter]:
    """The weights that may be trained, by name, as `set_trainable` finds them; `requires_grad` is not changed."""
    with preserve_requires_grad(model):
        return set_trainable(model)


@contextlib.contextmanager
def preserve_requires_grad(model: Any) -> Generator[None]:
    """Restore `requires_grad` of every weight at the end."""
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)


@contextlib.contextmanager
def eval_mode(model: Any) -> Generator[None]:
    """Put the model into eval mode, and every module back into its own mode at the end."""
    modules = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in modules:
            module.training = True


@contextlib.contextmanager
def preserve_training_state(model: Any = None) -> Generator[None]:
    """Eval mode and separate random numbers: what is done inside does not change a training that continues afterwards.

    Restores the mode of every module and the state of Python's, NumPy's and torch's random number generators (CPU and
    the model's device).
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (the Trainer seeds this global generator)
    device = next(model.parameters()).device if model is not None else torch.device("cpu")
    devices = [device] if device.type == "cuda" else []
    try:
        mode = eval_mode(model) if model is not None else contextlib.nullcontext()
        with torch.random.fork_rng(devices=devices), mode:
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


class ReferenceModel:
    """The model as it was before training, without a second copy of it: call it for a forward pass.

    Only the trained weights are stored twice. A forward pass runs the live model with the stored values in place of its
    own (`torch.func.functional_call`), so tied weights, adapters and hooks work as usual.
    """

    def __init__(self, model: Any, weights: Mapping[str, Tensor] | None = None) -> None:
        """`weights`: those that will be trained, by name; default, all that require a gradient or `trainable_state`."""
        live = unwrapped(model)
        if weights is None:
            weights = {n: w for n, w in live.named_parameters() if w.requires_grad} or trainable_state(live)
        self.values: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def __call__(self, model: Any, **inputs: Any) -> Any:
        """The forward pass with the stored values, without gradient and without dropout."""
        live = unwrapped(model)
        with eval_mode(live):
            return torch.func.functional_call(live, self.values, (), inputs)

    @torch.no_grad()
    def restore(self, model: Any) -> None:
        """Write the stored values into the live model."""
        weights = dict(unwrapped(model).named_parameters())
        for name, value in self.values.items():
            weights[name].copy_(value)
