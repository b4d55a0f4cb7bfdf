"""What can be set about looking at a model while it trains: each field is a keyword of `AuditCallback`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from remanence.core.errors import RemanenceError
from remanence.engine.gates import RULES, read_rule
from remanence.models.render import LossOn


@dataclass(frozen=True)
class LookSettings:
    """How often to look, at how many rows, what counts as coming back, and what follows from it."""

    every: Literal["epoch"] | int = "epoch"
    """A look after every epoch, or after so many optimizer steps; and one before the first and after the last."""
    sample: int = 64
    """Rows drawn from the training data, and held-out rows at most; all of the rows that were given by name."""
    prefixes: tuple[int, ...] = (0, 8, 16, 32)
    """Prefix lengths in tokens that carry loss, as in the audit."""
    new_tokens: int = 24
    """How many further tokens must come back."""
    stop_if: str | None = None
    """A rule like "excess_low>0.05" that ends the training; the names are those of `--fail-if`."""
    keep_best: float | None = None
    """Save the model with the lowest held-out loss among looks whose excess is at most this, into `remanence-best`."""
    load_best: bool = False
    """At the end of the training, put that model's weights back into the live one."""
    base: Literal["start", "disabled"] = "start"
    """What `over_base` compares with: the model at the first look, or, for a `PeftModel`, its adapter switched off."""
    loss_on: LossOn = "auto"
    """For rows given by name, which tokens carry loss; TRL's trainer is asked for its own setting."""
    max_length: int | None = None
    """For rows given by name, tokens after which they are cut; TRL's trainer is asked for its own setting."""
    preflight: bool = True
    """Say what the trainer really feeds the model before it begins."""
    secrets: tuple[str, ...] = ()
    """Texts to look for in what is fed, such as canaries."""
    batch_tokens: int = 4096
    """Padded tokens per forward pass of a look."""
    seed: int = 0
    """Which rows are drawn."""

    def __post_init__(self) -> None:
        if self.every != "epoch" and (isinstance(self.every, str) or self.every < 1):
            raise RemanenceError(f'every is "epoch" or a number of steps, got {self.every!r}.')
        if self.sample < 1 or self.new_tokens < 1:
            raise RemanenceError(f"sample and new_tokens are at least 1, got {self.sample} and {self.new_tokens}.")
        if self.load_best and self.keep_best is None:
            raise RemanenceError("load_best needs keep_best: say how much excess the best model may have.")
        if self.base not in ("start", "disabled"):
            raise RemanenceError(f"base is 'start' or 'disabled', got {self.base!r}.")
        if self.stop_if is not None:
            try:
                _ = read_rule(self.stop_if)
            except RemanenceError:
                raise RemanenceError(
                    f"Cannot read stop_if={self.stop_if!r}: write it like 'excess_low>0.05', with one of "
                    f"{', '.join(RULES)}."
                ) from None
