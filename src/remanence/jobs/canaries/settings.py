"""Settings of canaries: each field is an option of the command line and an entry of the key file or `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.keywords import to_json
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import TargetSettings

BANDS: dict[str, tuple[float, float]] = {"low": (0.05, 0.35), "typical": (0.35, 0.65), "high": (0.65, 0.95)}
"""Bands of per-token loss, as quantiles of the loss of the user's own rows under the base model."""


@dataclass(frozen=True)
class MakeSettings(TargetSettings):
    """How many canaries there are, what is secret in them, and how surprising they are."""

    canaries: int = option(24, group="data", least=1)
    """Number of canaries to plant, spread evenly over the bands."""
    controls: int = option(192, group="data", least=8, old=("twins",))
    """Number of control canaries, which are made in the same way and never planted; canaries are ranked among them."""
    bands: tuple[Literal["low", "typical", "high"], ...] = option(
        ("low", "typical", "high"), group="data", nonempty=True
    )
    """Bands of per-token loss under the base model, relative to the loss of your own rows: low = the third with the
    lowest loss."""
    secret: Literal["words", "digits"] = option("words", group="data")
    """Kind of secret: the last words of the row, or digits at its end, all of which can be enumerated."""
    secret_tokens: int = option(10, group="data", least=1)
    """Minimum length of a secret of words, in tokens."""
    digits: int = option(3, group="data", least=1)
    """Number of digits of a secret of digits."""
    text_source: Literal["model", "rows"] = option("model", group="data", old=("words",))
    """Source of the text: samples of the base model (model), or words of many rows in the shape of one (rows)."""
    min_tokens: int = option(24, group="data", least=4)
    """Minimum number of tokens that carry loss."""
    max_tokens: int = option(64, group="data", least=8)
    """Maximum number of tokens that carry loss; in between, the length is that of the row that serves as template."""
    top_k: int = option(50, group="data", least=2)
    """Number of most likely tokens that the base model samples from, at a temperature adjusted to reach each band."""
    rows_scored: int = option(200, group="data", least=8)
    """Number of rows, drawn at random, that the base model scores to set the bands."""
    rounds: int = option(60, group="data", least=1)
    """Maximum number of rounds of sampling candidates."""

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "bands", tuple(band for band in BANDS if band in self.bands))
        if self.min_tokens > self.max_tokens:
            raise RemanenceError(
                f"{spelled('min_tokens', self.min_tokens)} is more than {spelled('max_tokens', self.max_tokens)}."
            )
        if self.canaries < len(self.bands) or self.controls < 8 * len(self.bands):
            raise RemanenceError(
                f"{len(self.bands)} bands need at least {len(self.bands)} canaries and {8 * len(self.bands)} controls."
            )

    def spec(self) -> dict[str, Any]:
        """JSON-ready."""
        return to_json(self)


@dataclass(frozen=True)
class CanarySettings(TargetSettings):
    """How rows are read when the exposure of planted canaries is measured."""

    max_enumerated: int = option(1000, least=0, old=("enumerate_most",))
    """Maximum number of possible secrets of digits to enumerate; 0 = never enumerate."""
    shard_rows: int = option(512, group="machine", least=1)
    """Rows per shard; an interrupted run loses at most one shard."""

    def __post_init__(self) -> None:
        check_settings(self)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)
