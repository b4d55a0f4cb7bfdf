"""What a run by name asks for, beside the system's own parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remanence.core.settings import check_settings, option


@dataclass(frozen=True)
class RunSettings:
    """Settings of `remanence run`."""

    alpha: float = option(0.05, above=0, below=1)
    """Share of held-out rows that may score above the threshold; training rows above it are counted."""
    shard_rows: int = option(256, least=1)
    """Number of rows per shard: what a stopped run loses at most."""
    loss_on: Literal["auto", "all", "completion", "assistant"] = option("auto", group="data")
    max_length: int | None = option(None, least=1, group="data")
    add_eos: bool = option(True, group="data")
    seed: int = option(0, least=0)
    dtype: Literal["float32", "bfloat16", "float16"] = option("float32", group="machine")
    device: str = option("auto", group="machine")
    batch_tokens: int = option(4096, least=1, group="machine")

    def __post_init__(self) -> None:
        check_settings(self)
