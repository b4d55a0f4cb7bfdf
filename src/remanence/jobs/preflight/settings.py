"""Settings of a preflight check: each field is an option of `remanence preflight`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remanence.core.errors import RemanenceError
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import LossOn


@dataclass(frozen=True)
class PreflightSettings:
    """How TRL's `SFTTrainer` would truncate, mask and pack the rows."""

    max_length: int | None = option(1024, group="training", least=0)
    """Maximum number of tokens per row, or per pack; longer rows are truncated. 0 = no truncation. TRL's default."""
    loss_on: LossOn = option("auto", group="training")
    """Tokens that carry loss; auto = all tokens of a text or chat, the completion of a pair."""
    packing: Literal["none", "bfd", "bfd_split", "wrapped"] = option("none", group="training")
    """TRL's packing strategy, which puts several rows into one sequence."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_length == 0:
            object.__setattr__(self, "max_length", None)
        if self.packing != "none" and self.max_length is None:
            raise RemanenceError(f"{spelled('packing')} needs {spelled('max_length')}, the size of a pack in tokens.")
