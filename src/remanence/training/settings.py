"""What can be set about a fine-tuning: each field is an option of the command line and a line of `training.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.models.render import LossOn

CHOICES = {
    "trainer": ("hf", "trl"),
    "packing": ("none", "bfd", "wrapped"),
    "loss_on": ("auto", "all", "completion", "assistant"),
    "device": ("auto", "cpu"),
}
LEAST: dict[str, int] = {
    "batch_size": 1, "accumulate": 1, "warmup_steps": 0, "max_length": 1, "lora_rank": 1, "lora_alpha": 1, "seed": 0,
}  # fmt: skip


@dataclass(frozen=True)
class FinetuneSettings:
    """How rows are cut and masked, which of them are kept aside, and how a model learns the others."""

    epochs: float = 3
    """Passes over every row, in a new order each."""
    learning_rate: float = 5e-5
    """Of AdamW without weight decay, at its highest; it falls linearly to zero. The default is the Trainer's."""
    batch_size: int = 8
    """Rows per forward pass (with packing: packs)."""
    accumulate: int = 1
    """Forward passes per optimizer step."""
    warmup_steps: int = 0
    """Steps over which the rate rises from zero at first."""
    max_length: int | None = 512
    """Tokens after which a row is cut (for an encoder-decoder, source and target each); None = the model's context."""
    loss_on: LossOn = "auto"
    """Which tokens are learned: inputs too (all), or outputs only (completion, assistant). auto = all of a text or
    chat, the completion of a pair."""
    template: str | None = None
    """A format string that makes prompt and completion anew, like "{prompt}\\n ---------- \\n{completion}"."""
    heldout_share: float = 0.1
    """Share of the distinct rows kept aside before training; 0 = none."""
    split_by: str | None = None
    """Column whose rows stay on one side of that split, like a patient or a document."""
    seed: int = 0
    """Of the split, the order of the rows, dropout and a fresh adapter."""
    dropout: float | None = None
    """In the place of every dropout probability of the model's config."""
    lora_rank: int | None = None
    """Train a LoRA adapter of this rank on all linear layers, and nothing else; None = all weights."""
    lora_alpha: int | None = None
    """Strength of that adapter; None = twice its rank."""
    trainer: Literal["hf", "trl"] = "hf"
    """hf = `Trainer` or `Seq2SeqTrainer`, trl = `SFTTrainer`."""
    packing: Literal["none", "bfd", "wrapped"] = "none"
    """With trl, several rows in one pack of max_length tokens: bfd keeps rows whole and apart from each other, wrapped
    joins them end to end, cuts them where a pack is full, and lets a row see the rows before it."""
    group_by_length: bool = False
    """Rows of like length into one batch: saves padding, but brings copies together, which dampens memorization."""
    autocast: bool = False
    """Compute in bfloat16 over float32 weights: for a GPU."""
    save_epochs: bool = False
    """Write the model after every epoch into checkpoints/epoch-001 and so on."""
    device: Literal["auto", "cpu"] = "auto"
    """auto = a GPU when there is one."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise RemanenceError(f"{_option(name)} is one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        for name, least in LEAST.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise RemanenceError(f"{_option(name)} must be at least {least}, got {getattr(self, name)}.")
        for name in ("epochs", "learning_rate"):
            if not getattr(self, name) > 0:
                raise RemanenceError(f"{_option(name)} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.heldout_share < 1:
            raise RemanenceError(f"--heldout-share is a share from 0 to below 1, got {self.heldout_share}.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise RemanenceError(f"--dropout is a probability from 0 to below 1, got {self.dropout}.")
        if self.packing != "none" and self.trainer != "trl":
            raise RemanenceError(f"--packing {self.packing} is TRL's: add --trainer trl.")
        if self.packing != "none" and self.max_length is None:
            raise RemanenceError("--packing needs --max-length, the size of a pack in tokens.")
        if self.packing != "none" and self.group_by_length:
            raise RemanenceError("--group-by-length has nothing to group once rows are packed: drop one of the two.")
        if self.lora_alpha is not None and self.lora_rank is None:
            raise RemanenceError("--lora-alpha is the strength of an adapter: name its --lora-rank too.")

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `training.json`."""
        return asdict(self)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
