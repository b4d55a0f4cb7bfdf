"""What can be set about canaries: each field is an option of the command line and stands in the key file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.jobs.audit.settings import AuditSettings

BANDS: dict[str, tuple[float, float]] = {"low": (0.05, 0.35), "typical": (0.35, 0.65), "high": (0.65, 0.95)}
"""Bands of per-token loss, as quantiles of the loss of the user's own rows under the base model."""
CHOICES = {"secret": ("words", "digits"), "words": ("model", "rows")}
LEAST = {"canaries": 1, "twins": 8, "secret_tokens": 1, "digits": 1, "min_tokens": 4, "max_tokens": 8, "top_k": 2,
         "rows_scored": 8, "rounds": 1, "seed": 0}  # fmt: skip


@dataclass(frozen=True)
class MakeSettings:
    """How many canaries there are, what is secret in them, and how surprising they are."""

    canaries: int = 24
    """Rows to plant, spread evenly over the bands."""
    twins: int = 192
    """Rows of the very same kind that are never planted, spread likewise: what canaries are ranked among."""
    bands: tuple[str, ...] = ("low", "typical", "high")
    """Bands of per-token loss under the base model; low = the likelier third of your own rows."""
    secret: Literal["words", "digits"] = "words"
    """What is secret: the last words of the row, or digits behind them, which can be counted through."""
    secret_tokens: int = 10
    """Length of secret words, in tokens at least."""
    digits: int = 3
    """Number of secret digits."""
    words: Literal["model", "rows"] = "model"
    """Who writes the learned part: the base model by sampling, or words of many rows put into the shape of one."""
    min_tokens: int = 24
    """Shortest learned part."""
    max_tokens: int = 64
    """Longest learned part; in between it is as long as that of the row whose shape the canary has."""
    top_k: int = 50
    """The model draws among so many tokens, at a temperature that is steered until a band is hit."""
    rows_scored: int = 200
    """Rows of the data that the base model scores, drawn at random, for the bands."""
    rounds: int = 60
    """Most rounds of drawing candidates."""
    loss_on: Literal["auto", "all", "completion", "assistant"] = "auto"
    """Which tokens training will learn from."""
    max_length: int | None = None
    """Tokens after which training will cut a row."""
    add_eos: bool = True
    """Whether training will put the end-of-text token behind a row."""
    seed: int = 0
    """Seed of everything drawn at random."""
    device: str = "auto"
    """auto = a GPU when there is one."""
    batch_tokens: int = 4096
    """Padded tokens per batch."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise RemanenceError(f"{_option(name)} is one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise RemanenceError(f"{_option(name)} must be at least {least}, got {getattr(self, name)}.")
        unknown = [band for band in self.bands if band not in BANDS]
        if unknown or not self.bands:
            raise RemanenceError(f"--bands are some of {', '.join(BANDS)}, got {', '.join(self.bands) or 'none'}.")
        object.__setattr__(self, "bands", tuple(band for band in BANDS if band in self.bands))
        if self.min_tokens > self.max_tokens:
            raise RemanenceError(f"--min-tokens {self.min_tokens} is more than --max-tokens {self.max_tokens}.")
        if self.canaries < len(self.bands) or self.twins < 8 * len(self.bands):
            raise RemanenceError(
                f"{len(self.bands)} bands need at least {len(self.bands)} canaries and {8 * len(self.bands)} twins."
            )

    @property
    def audit(self) -> AuditSettings:
        """How rows are read and scored."""
        return _audit(self)

    def spec(self) -> dict[str, Any]:
        """JSON-ready."""
        return _spec(self)


@dataclass(frozen=True)
class CanarySettings:
    """How the rows are read when a trained model is asked about its canaries."""

    loss_on: Literal["auto", "all", "completion", "assistant"] = "auto"
    """Which tokens carried loss in training."""
    max_length: int | None = None
    """Tokens after which training cut a row."""
    add_eos: bool = True
    """Whether training put the end-of-text token behind a row."""
    enumerate_most: int = 1000
    """Digits are counted through where there are at most so many of them; 0 = never."""
    seed: int = 0
    """Seed of bootstrap and shuffles."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the passes."""
    device: str = "auto"
    """auto = a GPU when there is one."""
    batch_tokens: int = 4096
    """Padded tokens per batch."""
    shard_rows: int = 512
    """Rows per shard: what a killed run loses at most."""

    def __post_init__(self) -> None:
        if self.enumerate_most < 0:
            raise RemanenceError(f"--enumerate-most must be at least 0, got {self.enumerate_most}.")
        _ = self.audit

    @property
    def audit(self) -> AuditSettings:
        """How rows are read and scored."""
        return _audit(self)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return _spec(self)


def _audit(settings: MakeSettings | CanarySettings) -> AuditSettings:
    known = {field.name for field in fields(AuditSettings)}
    same = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name in known}
    return AuditSettings(**same, generate="none")


def _spec(settings: MakeSettings | CanarySettings) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
