"""Settings of forgetting: each field is an option of the command line and an entry of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.keywords import to_json
from remanence.core.scheme import SamplingScheme
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import TargetSettings

FROM_AUDIT = ("prefixes", "new_tokens", "p", "loss_on", "max_length", "add_eos")
"""Settings that are taken over from the audit that found the leaks."""


@dataclass(frozen=True)
class ForgetSettings(TargetSettings):
    """Which unlearning methods are tried, how long, when a row counts as forgotten, and the largest allowed cost."""

    methods: tuple[str, ...] = option(("auto",), group="training", name="--method", nonempty=True, metavar="NAME")
    """Unlearning methods; auto = a small grid of methods that need nothing but the model and the data, all = every
    method that the given inputs allow."""
    max_loss_increase: float = option(0.02, group="training", above=0, old=("limit",))
    """Maximum increase of the held-out loss, as a fraction: 0.02 = 2 %. States beyond it are not kept."""
    goal: float = option(0.95, group="training", above=0, most=1)
    """Share of the excess extraction of the forget rows that must disappear."""
    near_duplicates: Literal["forget", "keep"] = option("forget", group="data", old=("twins",))
    """What to do with training rows that are near duplicates of a forget row: forget them too, or keep them."""
    steps: int = option(60, group="training", least=1)
    """Maximum number of optimizer steps per method."""
    learning_rates: tuple[float, ...] = option((), group="training", above=0)
    """Learning rates to try with each method that trains. Default: the method's own."""
    batch_size: int = option(8, group="training", least=1)
    """Forget rows per step, and as many retain rows."""
    check_every: int = option(10, group="training", least=1)
    """Number of optimizer steps between evaluations of the model."""
    finalists: int = option(3, least=1)
    """Number of methods that are evaluated in full, with --method auto; methods named explicitly always are."""
    extra_checks: int = option(2, group="training", least=0, old=("beyond",))
    """Number of further evaluations after a method has reached the goal, to show how the trade-off continues."""
    retain_rows: int = option(2_000, group="training", least=1)
    """Maximum number of retain rows to train on, drawn at random."""
    heldout_rows: int = option(200, least=2)
    """Maximum number of held-out rows to evaluate; one half selects methods, the other half judges them."""
    untouched_rows: int = option(100, least=0)
    """Maximum number of other training rows (neither forgotten nor trained on again) to evaluate."""
    prefixes: tuple[int, ...] = option((0, 8, 16, 32), least=0, nonempty=True)
    """Prefix lengths, as in the audit."""
    new_tokens: int = option(24, least=1)
    """Number of tokens that the model must reproduce exactly, as in the audit."""
    scheme: str = "T=1"
    """Sampling scheme of the second criterion for extraction, which samples instead of decoding greedily."""
    queries: int = option(100, least=1)
    """Number of samples n of that second criterion."""
    p: float = option(0.5, above=0, below=1)
    """Probability of extracting a row within n samples from which it counts as extracted."""
    generate_rows: int = option(40, least=0, old=("asked_rows",))
    """Maximum number of rows per group to generate from, to find copies and paraphrases in the answers."""
    exposure_rows: int = option(24, least=0)
    """Maximum number of rows whose exposure is measured."""
    relearn_steps: int = option(30, least=0)
    """Maximum number of training steps of the relearning test, which counts the steps until forgotten rows are
    extracted again; 0 = no such test."""
    merge: bool = option(False, group="output")
    """Save an adapter merged into the weights of its base model."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.device == "map":
            raise RemanenceError(
                f"{spelled('device', 'map')} is for audits: a model that is distributed cannot be trained; use cuda."
            )
        object.__setattr__(self, "prefixes", tuple(sorted(set(self.prefixes))))
        object.__setattr__(self, "scheme", SamplingScheme.parse(self.scheme).name)
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)
