"""Models beside the one that is changed: further training of it, and others from the same base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.unlearning.losses import nll
from remanence.mitigate.weights.adapters import empty_, scaled_like, scalings
from remanence.mitigate.weights.states import State, check_ancestor, put
from remanence.models.load import load_model
from remanence.training.reference import ReferenceModel, trainable_state
from remanence.training.rows import Row
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import UnlearnSettings, unlearn


def learn(model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel) -> Tensor:
    """The objective of plain training, on the rows in the place of those to forget: mean -log p (nats)."""
    return nll(*sequence_nll(model, forget))


def snapshot(model: Any) -> dict[str, Tensor]:
    """A copy of the weights that may change: an adapter's, or all."""
    return {name: weight.detach().clone() for name, weight in trainable_state(model).items()}


def taught(model: Any, tokenizer: Any, rows: Sequence[Row], settings: UnlearnSettings) -> dict[str, Tensor]:
    """The weights after further training on these rows; the live model is then as it was."""
    before = snapshot(model)
    try:
        unlearn(model, tokenizer, rows, (), learn, settings)
        return snapshot(model)
    finally:
        put(model, before)


def finetuned_from_base(
    model: Any, tokenizer: Any, base: str | Path | None, rows: Sequence[Row], settings: UnlearnSettings
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights of the base model, its weights after training on these rows). The live model is then as it was.

    For an adapter, the base lies below it: a fresh adapter is trained there. A whole model needs the folder `base`.
    """
    if hasattr(model, "peft_config"):
        before = snapshot(model)
        try:
            empty_(trainable_state(model), settings.seed)
            return snapshot(model), taught(model, tokenizer, rows, settings)
        finally:
            put(model, before)
    if base is None:
        raise RemanenceError("This needs the base model that the model was fine-tuned from: give its folder as base.")
    other = load_model(base).model.to(next(model.parameters()).device)
    start = snapshot(other)
    check_ancestor([snapshot(model), start], ["the model", str(base)])
    return start, taught(other, tokenizer, rows, settings)


def opened(model: Any, folder: str | Path) -> State:
    """The weights of a model folder, in the form in which they can be summed with the live model's.

    Raises `RemanenceError` when it is built otherwise, or does not come from the same base.
    """
    loaded = load_model(folder)
    peer, own = loaded.model.to(next(model.parameters()).device), snapshot(model)
    if hasattr(peer, "peft_config") != hasattr(model, "peft_config"):
        raise RemanenceError(
            f"{loaded.name} and the model to change are an adapter and a whole model: give both in the same form."
        )
    state = snapshot(peer)
    if not hasattr(model, "peft_config"):
        check_ancestor([own, state], ["the model", loaded.name])
        return state
    below, other = dict(model.get_base_model().named_parameters()), dict(peer.get_base_model().named_parameters())
    fixed = [name for name in below if "lora_" not in name and "modules_to_save" not in name]
    if any(name not in other or not other[name].equal(below[name]) for name in fixed):
        raise RemanenceError(f"The adapter {loaded.name} stands on another base model: fuse adapters of one base only.")
    state = {_renamed(name, peer, model): value for name, value in state.items()}
    own_scale = {_renamed(name, peer, model): s for name, s in scalings(peer, snapshot(peer)).items()}
    return scaled_like(state, own_scale, scalings(model, own))


def _renamed(name: str, peer: Any, model: Any) -> str:
    """The tensor's name in the other model, whose adapter may be called something else."""
    return name.replace(f".{peer.active_adapters[0]}.", f".{model.active_adapters[0]}.")


def steps_of(epochs: float, rows: int, batch_size: int) -> int:
    """Optimizer steps of so many passes over the rows."""
    return max(1, math.ceil(epochs * rows / batch_size))
