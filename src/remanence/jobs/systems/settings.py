"""What a run by name asks for, beside the system's own parameters."""

from __future__ import annotations

from dataclasses import dataclass

from remanence.core.settings import check_settings, option
from remanence.models.settings import TargetSettings


@dataclass(frozen=True)
class RunSettings(TargetSettings):
    """Settings of `remanence run`."""

    alpha: float = option(0.05, above=0, below=1)
    """Share of held-out rows that may score above the threshold; training rows above it are counted."""
    shard_rows: int = option(256, least=1)
    """Number of rows per shard: what a stopped run loses at most."""

    def __post_init__(self) -> None:
        check_settings(self)
