"""Training parameters, each declared once: of fine-tuning, of `remanence finetune`, and of unlearning.

The fields of `FinetuneSettings` are options of the command line and entries of `training.json`. A mitigation holds its
training parameters as one field `training`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.keywords import to_json
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import LossOn

DEFAULT_RATE = 2e-4
"""Learning rate of unlearning for whole models."""
ADAPTER_FACTOR = 4.0
"""Unlearning trains an adapter at this multiple of it."""


@dataclass(frozen=True)
class TrainingSettings:
    """How rows are truncated and masked, and how a model is fine-tuned on them."""

    epochs: float = option(3, group="training", above=0)
    """Number of passes over the training rows, each in a new order."""
    learning_rate: float = option(5e-5, group="training", above=0)
    """Peak learning rate of AdamW (without weight decay); it decreases linearly to zero."""
    batch_size: int = option(8, group="training", least=1)
    """Number of rows per forward pass; with packing, number of packs."""
    accumulate: int = option(1, group="training", least=1)
    """Number of forward passes per optimizer step (gradient accumulation)."""
    warmup_steps: int = option(0, group="training", least=0)
    """Number of steps over which the learning rate increases linearly from zero at first."""
    max_length: int | None = option(512, group="data", least=1)
    """Maximum number of tokens per row (for an encoder-decoder, per source and per target); longer rows are truncated.
    none = the model's context length."""
    loss_on: LossOn = option("auto", group="data")
    """Tokens that carry loss: all, so that inputs are training targets too, or outputs only (completion, assistant).
    auto = all tokens of a text or chat, the completion of a pair."""
    seed: int = option(0, group="training", least=0)
    """Random seed of the order of the rows, dropout, the initial weights of an adapter, and a split of the rows."""
    dropout: float | None = option(None, group="training", least=0, below=1)
    """Dropout probability, in place of all those in the model's configuration."""
    lora_rank: int | None = option(None, group="training", least=1)
    """Rank of a LoRA adapter on all linear layers, trained in place of the model. Default: full fine-tuning."""
    lora_alpha: int | None = option(None, group="training", least=1)
    """Scaling factor alpha of that adapter. Default: twice its rank."""
    group_by_length: bool = option(False, group="training")
    """Whether to put rows of similar length into one batch. It saves padding, but it also puts copies of a row into one
    batch, which reduces memorization."""
    autocast: bool = option(False, group="machine")
    """Whether to compute in bfloat16 with float32 weights; for a GPU."""
    device: Literal["auto", "cpu"] = option("auto", group="machine")
    """Device: auto (a GPU if there is one) or cpu."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.epochs == int(self.epochs):
            object.__setattr__(self, "epochs", int(self.epochs))
        if self.lora_alpha is not None and self.lora_rank is None:
            raise RemanenceError(f"{spelled('lora_alpha')} needs {spelled('lora_rank')}, the rank of the adapter.")

    @property
    def training(self) -> TrainingSettings:
        """These parameters without those that a subclass adds."""
        return TrainingSettings(**{field.name: getattr(self, field.name) for field in fields(TrainingSettings)})


@dataclass(frozen=True)
class FinetuneSettings(TrainingSettings):
    """How rows are prepared, which of them are held out, and how the model is fine-tuned on the others."""

    template: str | None = option(None, group="data")
    """Format string that rebuilds prompt and completion, such as '{prompt} => {completion}'."""
    heldout_share: float = option(0.1, group="data", least=0, below=1)
    """Share of the distinct rows to hold out from training; 0 = none."""
    split_by: str | None = option(None, group="data", metavar="COLUMN")
    """Column whose rows are not separated by that split, such as patient or document."""
    trainer: Literal["hf", "trl"] = option("hf", group="training")
    """Trainer: hf (transformers' `Trainer` or `Seq2SeqTrainer`) or trl (`SFTTrainer`)."""
    packing: Literal["none", "bfd", "wrapped"] = option("none", group="training")
    """With --trainer trl, how several rows are put into one sequence of max_length tokens: bfd keeps each row whole and
    masks it from the others; wrapped concatenates rows, splits them at the end of a sequence, and lets a row attend to
    the rows before it."""
    save_epochs: bool = option(False, group="output")
    """Whether to save the model after every epoch, in checkpoints/epoch-001 and so on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.packing != "none" and self.trainer != "trl":
            raise RemanenceError(f"{spelled('packing', self.packing)} is TRL's: add {spelled('trainer', 'trl')}.")
        if self.packing != "none" and self.max_length is None:
            raise RemanenceError(f"{spelled('packing')} needs {spelled('max_length')}, the size of a pack in tokens.")
        if self.packing != "none" and self.group_by_length:
            raise RemanenceError(
                f"{spelled('group_by_length', True)} has no effect on packed rows: use one of the two."
            )

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `training.json`."""
        return to_json(self)


def finetune_settings(settings: TrainingSettings, **more: Any) -> FinetuneSettings:
    """The same parameters as `FinetuneSettings`, with its further fields from `more`; unchanged if it is one."""
    if isinstance(settings, FinetuneSettings) and not more:
        return settings
    return FinetuneSettings(**{field.name: getattr(settings, field.name) for field in fields(settings)} | more)


@dataclass(frozen=True)
class UnlearnSettings:
    """The optimizer steps of unlearning: AdamW without weight decay, at a constant rate after the warm-up."""

    learning_rate: float | None = option(None, group="training", above=0)
    """Learning rate. Default: 2e-4, and 8e-4 for an adapter."""
    steps: int = option(60, group="training", least=1)
    """Maximum number of optimizer steps."""
    batch_size: int = option(8, group="training", least=1)
    """Number of forget rows per forward pass, and of retain rows beside them."""
    accumulate: int = option(1, group="training", least=1)
    """Number of forward passes per optimizer step (gradient accumulation)."""
    check_every: int = option(5, group="training", least=1)
    """Number of steps between two measurements of memorization and loss."""
    seed: int = option(0, group="training", least=0)
    """Random seed of the order of the rows and of dropout."""
    max_grad_norm: float = option(1.0, group="training", least=0)
    """Maximum norm of the gradient; 0 = no clipping."""
    warmup_steps: int = option(0, group="training", least=0)
    """Number of steps over which the learning rate increases linearly from zero at first."""
    optimizer: str = option("adamw", group="training")
    """adamw, sgd, or any `optim` of transformers' `TrainingArguments`."""

    def __post_init__(self) -> None:
        check_settings(self)

    def rate_for(self, model: Any) -> float:
        """The learning rate for this model, a whole model or a `PeftModel`."""
        if self.learning_rate is not None:
            return self.learning_rate
        return DEFAULT_RATE * (ADAPTER_FACTOR if hasattr(model, "peft_config") else 1)
