"""Settings of fine-tuning: each field is an option of the command line and an entry of `training.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.keywords import to_json
from remanence.core.settings import check_settings, option, spelled
from remanence.models.settings import LossOn


@dataclass(frozen=True)
class FinetuneSettings:
    """How rows are truncated and masked, which of them are held out, and how the model is trained on the others."""

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
    template: str | None = option(None, group="data")
    """Format string that rebuilds prompt and completion, such as '{prompt} => {completion}'."""
    heldout_share: float = option(0.1, group="data", least=0, below=1)
    """Share of the distinct rows to hold out from training; 0 = none."""
    split_by: str | None = option(None, group="data", metavar="COLUMN")
    """Column whose rows are not separated by that split, such as patient or document."""
    seed: int = option(0, group="training", least=0)
    """Random seed of the split, the order of the rows, dropout and the initial weights of an adapter."""
    dropout: float | None = option(None, group="training", least=0, below=1)
    """Dropout probability, in place of all those in the model's configuration."""
    lora_rank: int | None = option(None, group="training", least=1)
    """Rank of a LoRA adapter on all linear layers, trained in place of the model. Default: full fine-tuning."""
    lora_alpha: int | None = option(None, group="training", least=1)
    """Scaling factor alpha of that adapter. Default: twice its rank."""
    trainer: Literal["hf", "trl"] = option("hf", group="training")
    """Trainer: hf (transformers' `Trainer` or `Seq2SeqTrainer`) or trl (`SFTTrainer`)."""
    packing: Literal["none", "bfd", "wrapped"] = option("none", group="training")
    """With --trainer trl, how several rows are put into one sequence of max_length tokens: bfd keeps each row whole and
    masks it from the others; wrapped concatenates rows, splits them at the end of a sequence, and lets a row attend to
    the rows before it."""
    group_by_length: bool = option(False, group="training")
    """Whether to put rows of similar length into one batch. It saves padding, but it also puts copies of a row into one
    batch, which reduces memorization."""
    autocast: bool = option(False, group="machine")
    """Whether to compute in bfloat16 with float32 weights; for a GPU."""
    save_epochs: bool = option(False, group="output")
    """Whether to save the model after every epoch, in checkpoints/epoch-001 and so on."""
    device: Literal["auto", "cpu"] = option("auto", group="machine")
    """Device: auto (a GPU if there is one) or cpu."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.epochs == int(self.epochs):
            object.__setattr__(self, "epochs", int(self.epochs))
        if self.packing != "none" and self.trainer != "trl":
            raise RemanenceError(f"{spelled('packing', self.packing)} is TRL's: add {spelled('trainer', 'trl')}.")
        if self.packing != "none" and self.max_length is None:
            raise RemanenceError(f"{spelled('packing')} needs {spelled('max_length')}, the size of a pack in tokens.")
        if self.packing != "none" and self.group_by_length:
            raise RemanenceError(
                f"{spelled('group_by_length', True)} has no effect on packed rows: use one of the two."
            )
        if self.lora_alpha is not None and self.lora_rank is None:
            raise RemanenceError(f"{spelled('lora_alpha')} needs {spelled('lora_rank')}, the rank of the adapter.")

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `training.json`."""
        return to_json(self)
