"""Target settings: how rows are read and how forward passes are computed, shared by every job that opens a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from remanence.core.settings import option

LossOn: TypeAlias = Literal["auto", "all", "completion", "assistant"]


@dataclass(frozen=True)
class TargetSettings:
    """How rows were tokenized and masked in training, and how forward passes are computed."""

    loss_on: LossOn = option("auto", group="data")
    """Tokens that carry loss in training; auto = all tokens of a text or chat, the completion of a pair (as in TRL)."""
    max_length: int | None = option(None, group="data", least=1)
    """Maximum number of tokens per row in training; longer rows are truncated. Default: the model's context length."""
    add_eos: bool = option(True, group="data")
    """Whether training appends the end-of-text token to each row, as TRL does."""
    seed: int = option(0, least=0)
    """Random seed."""
    dtype: Literal["float32", "bfloat16", "float16"] = option("float32", group="machine")
    """Floating-point type of the forward passes. Results that depend on rounding are recomputed in float32 at batch
    size 1."""
    device: str = option("auto", group="machine")
    """Device: auto (a GPU if there is one), cpu, cuda, or map (distribute the model over all GPUs, then CPU memory,
    then disk)."""
    batch_tokens: int = option(4096, group="machine", least=1)
    """Maximum number of tokens per batch, padding included."""
