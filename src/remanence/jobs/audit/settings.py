"""What can be set about an audit: each field is an option of the command line and a line of `run.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.scheme import SamplingScheme
from remanence.core.verbs import TableMeasure, columns_for
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.extraction.np_discoverable import NPDiscoverable
from remanence.measure.likelihood.loss import Loss
from remanence.measure.likelihood.min_k import MinK
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus
from remanence.measure.likelihood.reference import Reference
from remanence.measure.likelihood.zlib_ratio import ZlibRatio

LIKELIHOOD: dict[str, type[TableMeasure]] = {
    measure.name: measure for measure in (Loss, ZlibRatio, MinK, MinKPlusPlus, Reference)
}
"""The measures that a user may choose among; the extraction measures are what the verdict is made of."""

CHOICES = {
    "loss_on": ("auto", "all", "completion", "assistant"),
    "generate": ("auto", "all", "none"),
    "background": ("corpus", "base"),
    "dtype": ("float32", "bfloat16", "float16"),
}
LEAST = {"new_tokens": 1, "max_length": 1, "attempts": 0, "seed": 0, "batch_tokens": 1, "shard_rows": 1}


@dataclass(frozen=True)
class AuditSettings:
    """How rows are read, what is measured, and on what machine."""

    prefixes: tuple[int, ...] = (0, 8, 16, 32)
    """Prefix lengths: tokens that carry loss given away in the prompt; a question or chat header is always given."""
    new_tokens: int = 24
    """How many further tokens must come back, all of them right."""
    budgets: tuple[int, ...] = (6, 10, 20, 50, 100)
    """Further numbers of tokens to tell that rate at; a row with fewer is not measurable there."""
    by: tuple[str, ...] = ()
    """Columns of the data, such as task or source, to break the rates down by."""
    schemes: tuple[str, ...] = ("T=1", "T=1,k=40", "T=0.7,p=0.9")
    """Sampling schemes for (n,p)-discoverable extraction; the first one ranks the rows."""
    p: float = 0.5
    """How surely a row must come back within n samples to count as (n,p)-discoverable."""
    queries: tuple[int, ...] = (1, 10, 100, 1_000, 10_000, 100_000)
    """The numbers n of samples to report (n,p)-discoverable extraction at."""
    measures: tuple[str, ...] = tuple(LIKELIHOOD)
    """Likelihood measures, for membership."""
    loss_on: Literal["auto", "all", "completion", "assistant"] = "auto"
    """Which tokens carried loss in training; auto = all of a text or chat, the completion of a pair (as TRL does)."""
    max_length: int | None = None
    """Tokens after which training cut a row; None = the model's context."""
    add_eos: bool = True
    """Whether training put the end-of-text token behind a row (TRL does)."""
    generate: Literal["auto", "all", "none"] = "auto"
    """Which rows are really put to the model: those the table singles out, all, or none."""
    attempts: int = 100
    """With generate=auto, at most so many rows per group are put to the model, worst first."""
    alpha: float = 0.01
    """Share of held-out texts that may be flagged as copied; sets the thresholds of the detector."""
    background: Literal["corpus", "base"] = "corpus"
    """What says how surprising a word is to the detector: n-grams of the training rows (the row that matches left out),
    or the base model: then a match is worth what fine-tuning had to add."""
    seed: int = 0
    """Seed of everything drawn at random."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the passes; verdicts that hang on rounding are repeated in float32 at batch size 1."""
    device: str = "auto"
    """auto = a GPU when there is one; map = spread over all GPUs, then memory, then disk."""
    batch_tokens: int = 4096
    """Padded tokens per batch."""
    shard_rows: int = 512
    """Rows per shard of the token tables: what a killed run loses at most."""

    def __post_init__(self) -> None:
        if not self.prefixes or min(self.prefixes) < 0:
            raise RemanenceError("--prefixes needs at least one length, none below 0, for example 0,8,16,32.")
        if self.budgets and min(self.budgets) < 1:
            raise RemanenceError(f"--budgets are numbers of tokens from 1 on, got {min(self.budgets)}.")
        if not self.schemes:
            raise RemanenceError("--scheme needs at least one sampling scheme, for example T=1.")
        if not 0 < self.p < 1:
            raise RemanenceError(f"--p is a probability between 0 and 1, got {self.p}.")
        if not 0 < self.alpha < 1:
            raise RemanenceError(f"--alpha is a false-alarm rate between 0 and 1, got {self.alpha}.")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise RemanenceError(f"{_option(name)} is one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise RemanenceError(f"{_option(name)} must be at least {least}, got {value}.")
        for name in ("prefixes", "budgets"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        object.__setattr__(self, "by", tuple(dict.fromkeys(self.by)))
        object.__setattr__(self, "schemes", tuple(dict.fromkeys(SamplingScheme.parse(s).name for s in self.schemes)))
        object.__setattr__(self, "measures", tuple(dict.fromkeys(self.measures)))
        for name in self.measures:
            if name not in LIKELIHOOD:
                raise RemanenceError(f"There is no likelihood measure {name!r}: choose from {', '.join(LIKELIHOOD)}.")

    @property
    def discoverable(self) -> Discoverable:
        """The measure behind the verdict."""
        return Discoverable(self.prefixes, self.new_tokens)

    def table_measures(self, with_base: bool) -> list[TableMeasure]:
        """All measures of the audit, those that compare with the base model only when there is one."""
        sampled = [
            NPDiscoverable(SamplingScheme.parse(s), self.p, self.prefixes, self.new_tokens) for s in self.schemes
        ]
        chosen = [LIKELIHOOD[name]() for name in self.measures]
        return [
            self.discoverable,
            ExtractionStrength(),
            *sampled,
            *(m for m in chosen if with_base or not m.needs_base),
        ]

    def columns(self, measures: Sequence[TableMeasure]) -> list[str]:
        """The columns of the token table, for one pass; `logprob` is always there."""
        return sorted({*columns_for(measures), "logprob"})

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> AuditSettings:
        """The settings of an earlier run."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
        return cls(**values)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
