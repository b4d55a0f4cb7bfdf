"""Opens a model to be trained: whole or behind a fresh LoRA adapter, with the dropout that was asked for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from remanence.core.errors import RemanenceError
from remanence.models.load import Loaded, load_model
from remanence.models.settings import LossOn

LORA_ALPHA = 2
"""`lora_alpha` in units of the rank, where the caller names a rank only."""


def open_for_training(
    base: Path | str, *, dropout: float | None = None, loss_on: LossOn = "auto", trust_remote_code: bool = False
) -> Loaded:
    """The model in float32 with every parameter to be trained; whether it is an encoder-decoder is read off its config.

    `dropout` takes the place of every dropout probability that the config has. Raises `RemanenceError` for an adapter,
    and for an encoder-decoder that is asked to learn its prompts or does not say how its decoder starts.
    """
    loaded = load_model(base, trust_remote_code=trust_remote_code)
    if hasattr(loaded.model, "peft_config"):
        raise RemanenceError(
            f"{loaded.name} is an adapter: merge it into its base model (PEFT's merge_and_unload) and train that."
        )
    if loaded.family == "seq2seq":
        if loss_on not in {"auto", "completion"}:
            raise RemanenceError(
                f"{loaded.name} is an encoder-decoder, which can only learn completions, and loss_on is {loss_on!r}: "
                "use auto or completion, or a decoder-only model."
            )
        if getattr(loaded.model.config, "decoder_start_token_id", None) is None:
            raise RemanenceError(f"{loaded.name} does not say its decoder_start_token_id; set it in its config.json.")
    if dropout is not None:
        loaded = replace(loaded, model=_with_dropout(loaded, dropout))
    _ = loaded.model.requires_grad_(True)
    loaded.tokenizer.init_kwargs.pop("local_files_only", None)  # else it would be saved with the tokenizer
    return loaded


def with_adapter(model: Any, adapter: Any, base: Path | str) -> Any:
    """The model behind a fresh PEFT adapter, the only part that will be trained; its config will name `base`."""
    from peft import get_peft_model

    model.name_or_path = str(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers 5 for a name that will go in 6
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # PEFT sets it right for GPT-2, and says so
        return get_peft_model(model, adapter)


def lora(rank: int, alpha: int | None, dropout: float | None, family: str) -> Any:
    """A PEFT config: LoRA of this rank on every linear layer but the output layer."""
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=LORA_ALPHA * rank if alpha is None else alpha,
        lora_dropout=dropout or 0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM" if family == "causal" else "SEQ_2_SEQ_LM",
    )


def dropout_names(config: dict[str, Any]) -> list[str]:
    """Which entries of a model's config are dropout probabilities; `..._layerdrop`, which drops layers, is none."""
    return sorted(
        name
        for name, value in config.items()
        if (name.endswith("pdrop") or "dropout" in name) and isinstance(value, float | int) and value is not True
    )


def _with_dropout(loaded: Loaded, dropout: float) -> nn.Module:
    """The same weights in a model built anew: some layers read their probability when they are made."""
    config: Any = loaded.model.config
    names = dropout_names(config.to_dict())
    if not names:
        raise RemanenceError(f"The config of {loaded.name} has no dropout probability to set: leave dropout out.")
    for name in names:
        setattr(config, name, dropout)
    built: Any = type(loaded.model)(config)
    built.load_state_dict(loaded.model.state_dict())
    built.generation_config = loaded.model.generation_config
    return built
