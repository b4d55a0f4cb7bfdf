"""Settings of an audit: each field is an option of the command line and an entry of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.catalogue import entries
from remanence.core.errors import RemanenceError
from remanence.core.keywords import from_json, to_json
from remanence.core.scheme import SamplingScheme
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import TargetSettings

ALWAYS = ("discoverable", "extraction_strength", "np_discoverable")
"""Measures of the token table that every audit has; the verdict is made of them."""
DEFAULT = ("loss", "zlib_ratio", "min_k", "min_k_plus_plus", "reference")


@dataclass(frozen=True)
class AuditSettings(TargetSettings):
    """How rows are read, what is measured, and on what machine."""

    prefixes: tuple[int, ...] = option((0, 8, 16, 32), least=0, nonempty=True)
    """Prefix lengths: number of tokens with loss that the prompt contains; instructions and chat headers are always
    part of the prompt."""
    new_tokens: int = option(24, least=1)
    """Number of tokens after the prefix that the model must reproduce exactly for a row to count as extracted."""
    budgets: tuple[int, ...] = option((6, 10, 20, 50, 100), least=1)
    """Additional numbers of tokens at which the extraction rate is reported; rows with fewer tokens are not
    measurable there."""
    by: tuple[str, ...] = option((), group="data", metavar="COLUMN")
    """Columns of the data, such as task or source, by which rates are broken down."""
    schemes: tuple[str, ...] = option(("T=1", "T=1,k=40", "T=0.7,p=0.9"), name="--scheme", nonempty=True, split=False)
    """Sampling scheme for (n,p)-discoverable extraction, such as T=0.8,k=40,p=0.9; the first one ranks the rows."""
    p: float = option(0.5, above=0, below=1)
    """Probability of extracting a row within n samples from which it counts as (n,p)-discoverable."""
    queries: tuple[int, ...] = option((1, 10, 100, 1_000, 10_000, 100_000), least=1)
    """Numbers of samples n at which (n,p)-discoverable extraction is reported."""
    measures: tuple[str, ...] = DEFAULT
    """Measures for membership inference: any measure of the token table in the catalogue."""
    generate: Literal["auto", "all", "none"] = "auto"
    """Rows to generate from: auto (those that the token table ranks highest), all, or none."""
    generate_rows: int = option(100, least=0, old=("attempts",))
    """Maximum number of rows per group to generate from, highest-ranked first, with generate = auto."""
    alpha: float = option(0.01, above=0, below=1)
    """False-positive rate of the copy detector: share of held-out texts that may be flagged as copied."""
    background: Literal["corpus", "base"] = "corpus"
    """Language model that tells the copy detector how surprising a word is: n-grams of the training rows without the
    matching row (corpus), or the base model (base), so that only what fine-tuning added counts."""
    shard_rows: int = option(512, group="machine", least=1)
    """Rows per shard of the token tables; an interrupted run loses at most one shard."""

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("prefixes", "budgets"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        object.__setattr__(self, "by", tuple(dict.fromkeys(self.by)))
        object.__setattr__(self, "schemes", tuple(dict.fromkeys(SamplingScheme.parse(s).name for s in self.schemes)))
        object.__setattr__(self, "measures", tuple(dict.fromkeys(self.measures)))
        if other := [name for name in self.measures if name not in DEFAULT]:
            table = [entry.name for entry in entries() if "TableMeasure" in entry.bases]
            known = dict.fromkeys((*DEFAULT, *(name for name in table if name not in ALWAYS)))
            if unknown := [name for name in other if name not in known]:
                raise RemanenceError(f"{spelled('measures')} may contain {', '.join(known)}, got {unknown[0]!r}.")

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> AuditSettings:
        """The settings of an earlier run."""
        return from_json(cls, spec)
