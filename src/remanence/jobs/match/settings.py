"""What can be set about a match: each field is an option of the command line and a line of `run.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError

DETECTORS = ("calibrated", "pan2015")
LIKENESSES = ("words", "embed")
BACKGROUNDS = ("corpus", "unigram", "heldout", "base")


@dataclass(frozen=True)
class MatchSettings:
    """How texts are held against the training corpus."""

    alpha: float = 0.01
    """Share of held-out texts that may be flagged as copied."""
    detector: Literal["calibrated", "pan2015"] = "calibrated"
    """calibrated, or pan2015: the published detector with the limits of Zeng et al. 2024, for comparison."""
    background: Literal["corpus", "unigram", "heldout", "base"] = "corpus"
    """What says how surprising a word is: n-grams of the training corpus (the record that matches left out), its single
    words, n-grams of a third of the held-out texts (which then set no threshold), or a base model: then a match is
    worth what fine-tuning had to add."""
    decoys: int = 99
    """Records that the own one is ranked among, for ideas; 0 leaves ideas out."""
    likeness: Literal["words", "embed"] = "words"
    """How alike an answer and a record are, for ideas: by shared words, or by sentence embeddings (an extra)."""
    own_column: str = "own"
    """Column of the generated texts with the id of the training record that each was asked about."""
    seed: int = 0
    """Seed of everything drawn at random."""
    shard_rows: int = 1000
    """Texts per shard: what a killed run loses at most."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise RemanenceError(f"--alpha is a false-alarm rate between 0 and 1, got {self.alpha}.")
        for name, allowed in (("detector", DETECTORS), ("background", BACKGROUNDS), ("likeness", LIKENESSES)):
            if getattr(self, name) not in allowed:
                raise RemanenceError(f"--{name} is one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in (("decoys", 0), ("seed", 0), ("shard_rows", 1)):
            if getattr(self, name) < least:
                raise RemanenceError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}.")

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return asdict(self)
