"""Settings of a match: each field is an option of the command line and an entry of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.keywords import to_json
from remanence.core.settings import check_settings, option


@dataclass(frozen=True)
class MatchSettings:
    """How generated texts are compared with the training corpus."""

    alpha: float = option(0.01, above=0, below=1)
    """False-positive rate of the detector: share of held-out texts that may be flagged as copied."""
    detector: Literal["calibrated", "pan2015"] = "calibrated"
    """Detector: calibrated on held-out texts, or pan2015, the published one with the thresholds of Zeng et al. 2024."""
    background: Literal["corpus", "unigram", "heldout", "base"] = "corpus"
    """Language model that tells how surprising a word is: n-grams of the training corpus without the matching record
    (corpus), its single words (unigram), n-grams of a third of the held-out texts, which then set no threshold
    (heldout), or the base model, so that only what fine-tuning added counts (base)."""
    decoys: int = option(99, least=0)
    """Number of random training records among which the source record is ranked, to detect copied ideas; 0 = do not
    look for ideas."""
    similarity: Literal["words", "embed"] = option("words", old=("likeness",))
    """Similarity of a text and a record, for ideas: shared words, or sentence embeddings (needs the extra embed)."""
    source_column: str = option("own", group="data", old=("own_column",), metavar="COLUMN")
    """Column of the generated texts with the id of the training record that each was prompted with."""
    seed: int = option(0, least=0)
    """Random seed."""
    shard_rows: int = option(1000, group="machine", least=1)
    """Texts per shard; an interrupted run loses at most one shard."""

    def __post_init__(self) -> None:
        check_settings(self)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)
