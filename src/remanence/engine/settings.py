"""Target settings: how a model reads rows and on what machine it runs, shared by every job that opens a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remanence.core.settings import option


@dataclass(frozen=True)
class TargetSettings:
    """How rows are read and where models run. Settings of a job that opens models inherit these fields."""

    loss_on: Literal["auto", "all", "completion", "assistant"] = option("auto", group="data")
    """Tokens that carried loss in training: auto = all tokens of a text or chat, the completion of a prompt-completion
    pair (as in TRL)."""
    max_length: int | None = option(None, least=1, group="data")
    """Number of tokens after which training truncated a row; None = the context length of the model."""
    add_eos: bool = option(True, group="data")
    """Whether training appended the end-of-text token to each row, as TRL does."""
    seed: int = option(0, least=0)
    """Seed of all random draws."""
    dtype: Literal["float32", "bfloat16", "float16"] = option("float32", group="machine")
    """Floating-point type of the forward passes. Verdicts within rounding error are repeated in float32 at batch size
    1."""
    device: str = option("auto", group="machine")
    """Device: auto = a GPU if there is one; map = distribute the model over all GPUs, then memory, then disk."""
    batch_tokens: int = option(4096, least=1, group="machine")
    """Number of tokens per batch, padding included."""
