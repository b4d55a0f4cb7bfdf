"""What can be set about forgetting: each field is an option of the command line and a line of `run.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.scheme import SamplingScheme
from remanence.jobs.audit.settings import AuditSettings

CHOICES = {
    "twins": ("forget", "keep"),
    "loss_on": ("auto", "all", "completion", "assistant"),
    "dtype": ("float32", "bfloat16", "float16"),
}
LEAST = {
    "steps": 1, "batch_size": 1, "check_every": 1, "beyond": 0, "new_tokens": 1, "max_length": 1, "queries": 1,
    "retain_rows": 1, "heldout_rows": 2, "untouched_rows": 0, "asked_rows": 0, "exposure_rows": 0,
    "relearn_steps": 0, "finalists": 1, "seed": 0, "batch_tokens": 1,
}  # fmt: skip
FROM_AUDIT = ("prefixes", "new_tokens", "p", "loss_on", "max_length", "add_eos")
"""Settings that are taken over from the audit that found the leaks."""


@dataclass(frozen=True)
class ForgetSettings:
    """Which methods are tried how hard, when a row counts as forgotten, and what the price may be."""

    methods: tuple[str, ...] = ("auto",)
    """Names of methods; auto = a small grid of those that work after training and need nothing else, all = every one
    that what was given allows."""
    limit: float = 0.02
    """Greatest rise of the held-out loss, as a share of what it was: 0.02 = 2 %. No state beyond it is kept."""
    goal: float = 0.95
    """Share of the forget rows' excess extraction that has to go."""
    twins: Literal["forget", "keep"] = "forget"
    """Training rows that are nearly the same as a row to forget: forgotten with it, or kept like any other."""
    steps: int = 60
    """Most optimizer steps of a method that trains."""
    learning_rates: tuple[float, ...] = ()
    """Rates to try with methods that train; none named = those of the method."""
    batch_size: int = 8
    """Forget rows per step, and as many retain rows beside them."""
    check_every: int = 10
    """Steps from one look at the model to the next."""
    finalists: int = 3
    """With auto, so many methods are judged in full; the others stay on the picture. Named ones all are."""
    beyond: int = 2
    """Looks that a path goes on for after it could have stopped, to show where it leads."""
    retain_rows: int = 2_000
    """At most so many retain rows are trained on, drawn by the seed."""
    heldout_rows: int = 200
    """At most so many held-out rows are looked at: one half guides the methods, the other judges them."""
    untouched_rows: int = 100
    """At most so many training rows that are not to be forgotten are looked at."""
    prefixes: tuple[int, ...] = (0, 8, 16, 32)
    """Prefix lengths, as in the audit."""
    new_tokens: int = 24
    """How many further tokens must come back, as in the audit."""
    scheme: str = "T=1"
    """Sampling scheme of the second way in which a row can come back."""
    queries: int = 100
    """Samples within which a row must not come back either."""
    p: float = 0.5
    """How surely, within so many samples."""
    loss_on: Literal["auto", "all", "completion", "assistant"] = "auto"
    """Which tokens carried loss in training."""
    max_length: int | None = None
    """Tokens after which training cut a row; None = the model's context."""
    add_eos: bool = True
    """Whether training ended rows with the end-of-text token."""
    asked_rows: int = 40
    """At most so many rows a group are really put to the chosen models, for copies in other words."""
    exposure_rows: int = 24
    """At most so many rows whose exposure is measured."""
    relearn_steps: int = 30
    """Most steps of training on forgotten rows, to see how soon they are back; 0 = not tried."""
    merge: bool = False
    """Give an adapter back merged into its base model's weights."""
    seed: int = 0
    """Seed of everything drawn at random."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the passes that measure; training is in float32."""
    device: str = "auto"
    """auto = a GPU when there is one."""
    batch_tokens: int = 4096
    """Padded tokens per batch."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise RemanenceError(f"{_option(name)} is one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise RemanenceError(f"{_option(name)} must be at least {least}, got {value}.")
        if not self.limit > 0:
            raise RemanenceError(f"--limit is a share above 0, like 0.02 for 2 %, got {self.limit}.")
        if not 0 < self.goal <= 1:
            raise RemanenceError(f"--goal is a share above 0 and at most 1, got {self.goal}.")
        if not 0 < self.p < 1:
            raise RemanenceError(f"--p is a probability between 0 and 1, got {self.p}.")
        if not self.prefixes or min(self.prefixes) < 0:
            raise RemanenceError("--prefixes needs at least one length, none below 0, for example 0,8,16,32.")
        if any(not rate > 0 for rate in self.learning_rates):
            raise RemanenceError("--learning-rates are above 0.")
        if not self.methods:
            raise RemanenceError("--method needs a name, or auto.")
        if self.device == "map":
            raise RemanenceError("--device map is for audits: a model that is spread out cannot be changed; use cuda.")
        object.__setattr__(self, "prefixes", tuple(sorted(set(self.prefixes))))
        object.__setattr__(self, "scheme", SamplingScheme.parse(self.scheme).name)
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))

    @property
    def audit(self) -> AuditSettings:
        """How rows are read and judged, as an audit says it."""
        return AuditSettings(
            prefixes=self.prefixes,
            new_tokens=self.new_tokens,
            schemes=(self.scheme,),
            p=self.p,
            loss_on=self.loss_on,
            max_length=self.max_length,
            add_eos=self.add_eos,
            seed=self.seed,
            dtype=self.dtype,
            device=self.device,
            batch_tokens=self.batch_tokens,
        )

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
