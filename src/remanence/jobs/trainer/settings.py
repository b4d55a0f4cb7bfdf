"""Settings of evaluating a model while it trains: each field is a keyword argument of `AuditCallback`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remanence.core.errors import RemanenceError
from remanence.core.settings import check_settings, option
from remanence.engine.gates import RULES, read_rule
from remanence.models.settings import LossOn


@dataclass(frozen=True)
class LookSettings:
    """How often the model is evaluated, on how many rows, when a row counts as extracted, and what follows from it."""

    every: Literal["epoch"] | int = "epoch"
    """When to evaluate: after every epoch, or after this number of optimizer steps; also before the first step and
    after the last."""
    sample: int = option(64, least=1)
    """Number of rows drawn from the training data, and maximum number of held-out rows; rows passed explicitly are all
    evaluated."""
    prefixes: tuple[int, ...] = option((0, 8, 16, 32), least=0, nonempty=True)
    """Prefix lengths in tokens that carry loss, as in the audit."""
    new_tokens: int = option(24, least=1)
    """Number of tokens that the model must reproduce exactly for a row to count as extracted."""
    stop_if: str | None = None
    """Rule such as "excess_low>0.05" that stops the training; the names are those of `--fail-if`."""
    keep_best: float | None = None
    """Save the model with the lowest held-out loss among evaluations whose excess is at most this, in
    `remanence-best`."""
    load_best: bool = False
    """At the end of training, load the weights of that model into the live one."""
    base: Literal["start", "disabled"] = "start"
    """Reference of `over_base`: the model at the first evaluation (start), or, for a `PeftModel`, the model with its
    adapter disabled (disabled)."""
    loss_on: LossOn = option("auto", group="data")
    """Tokens that carry loss in rows passed explicitly; for TRL's trainer, its own setting is used."""
    max_length: int | None = option(None, group="data", least=1)
    """Maximum number of tokens of rows passed explicitly; for TRL's trainer, its own setting is used."""
    preflight: bool = True
    """Report what the trainer feeds the model before training begins."""
    secrets: tuple[str, ...] = ()
    """Texts to look for in the training input, such as canaries."""
    batch_tokens: int = option(4096, group="machine", least=1)
    """Maximum number of tokens per batch of an evaluation, padding included."""
    seed: int = option(0, least=0)
    """Random seed of the sample."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.every != "epoch" and (isinstance(self.every, str) or self.every < 1):
            raise RemanenceError(f'every= is "epoch" or a number of steps, got {self.every!r}.')
        if self.load_best and self.keep_best is None:
            raise RemanenceError("load_best= needs keep_best=: say how much excess the best model may have.")
        if self.stop_if is not None:
            try:
                _ = read_rule(self.stop_if)
            except RemanenceError:
                raise RemanenceError(
                    f"Cannot read stop_if={self.stop_if!r}: write it like 'excess_low>0.05', with one of "
                    f"{', '.join(RULES)}."
                ) from None
