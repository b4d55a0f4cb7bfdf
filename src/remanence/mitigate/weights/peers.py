"""Weights of related models: the model after further training, its base model, and peers from the same base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.unlearning.losses import nll
from remanence.mitigate.weights.adapters import reset_adapter_, scaled_like, scalings
from remanence.mitigate.weights.states import State, check_ancestor, write_state_
from remanence.models.load import load_model
from remanence.training.reference import ReferenceModel, trainable_state
from remanence.training.rows import Row
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import UnlearnSettings, unlearn


def training_objective(model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel) -> Tensor:
    """Plain training on the rows that are given as forget rows: mean -log p (nats)."""
    return nll(*sequence_nll(model, forget))


def copy_state(model: Any) -> dict[str, Tensor]:
    """A copy of the weights that may be trained: those of an adapter, or all."""
    return {name: weight.detach().clone() for name, weight in trainable_state(model).items()}


def finetuned_state(model: Any, tokenizer: Any, rows: Sequence[Row], settings: UnlearnSettings) -> dict[str, Tensor]:
    """The weights after further training on these rows; the live model is restored."""
    before = copy_state(model)
    try:
        unlearn(model, tokenizer, rows, (), training_objective, settings)
        return copy_state(model)
    finally:
        write_state_(model, before)


def finetuned_from_base(
    model: Any, tokenizer: Any, base: str | Path | None, rows: Sequence[Row], settings: UnlearnSettings
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weights of the base model, its weights after training on these rows). The live model is restored.

    For an adapter, a new adapter is trained on its own base. A whole model needs the folder `base`.
    """
    if hasattr(model, "peft_config"):
        before = copy_state(model)
        try:
            reset_adapter_(trainable_state(model), settings.seed)
            return copy_state(model), finetuned_state(model, tokenizer, rows, settings)
        finally:
            write_state_(model, before)
    if base is None:
        raise RemanenceError("The base model that the model was fine-tuned from is needed: give its folder as base.")
    other = load_model(base).model.to(next(model.parameters()).device)
    start = copy_state(other)
    check_ancestor([copy_state(model), start], ["the model", str(base)])
    return start, finetuned_state(other, tokenizer, rows, settings)


def load_peer(model: Any, folder: str | Path) -> State:
    """The weights of a model folder, in a form that can be summed with the live model's.

    Raises `RemanenceError` when the architecture or the base differs.
    """
    loaded = load_model(folder)
    peer, own = loaded.model.to(next(model.parameters()).device), copy_state(model)
    if hasattr(peer, "peft_config") != hasattr(model, "peft_config"):
        raise RemanenceError(
            f"{loaded.name} and the model to change are an adapter and a whole model: give both in the same form."
        )
    state = copy_state(peer)
    if not hasattr(model, "peft_config"):
        check_ancestor([own, state], ["the model", loaded.name])
        return state
    below, other = dict(model.get_base_model().named_parameters()), dict(peer.get_base_model().named_parameters())
    fixed = [name for name in below if "lora_" not in name and "modules_to_save" not in name]
    if any(name not in other or not other[name].equal(below[name]) for name in fixed):
        raise RemanenceError(f"The adapter {loaded.name} has another base model: fuse only adapters of one base.")
    state = {_renamed(name, peer, model): value for name, value in state.items()}
    own_scale = {_renamed(name, peer, model): s for name, s in scalings(peer, copy_state(peer)).items()}
    return scaled_like(state, own_scale, scalings(model, own))


def _renamed(name: str, peer: Any, model: Any) -> str:
    """The tensor's name in the other model, whose adapter may have another name."""
    return name.replace(f".{peer.active_adapters[0]}.", f".{model.active_adapters[0]}.")
