"""Goldfish: leave one token in four out of the loss, the same one in every copy, so that no text can be recited.

Paper: Hans et al. 2024, "Be like a Goldfish, Don't Memorize! Mitigating Memorization in Generative LLMs",
arXiv 2406.10209

The forward pass reads every token; a pseudo-random 1/k of the targets carry no loss. Greedy decoding of a training
passage deviates at the first token that never carried loss. The other tokens are learned, and membership in the
training data can still be detected.

Shapes: B rows, T tokens, V vocabulary. Labels are unshifted, as in Hugging Face: `labels[t]` is token t itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.mitigate.training.goldfish_mask import SEED, Strategy, goldfish_mask
from remanence.training.from_base import finetune_from_base


def goldfish_loss(
    logits: Tensor,
    labels: Tensor,
    k: int = 4,
    strategy: Strategy = "hash",
    context_width: int = 13,
    include_target: bool = False,
    seed: int = SEED,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """L = - (1 / sum_t G_t) sum_t G_t log p(y_t | y_<t), nats (equation 1 of the paper): the mean over kept tokens.

    `logits` [B, T, V] and unshifted `labels` [B, T], as a Hugging Face model gives and takes them. `none` returns
    [B, T-1] with 0 at dropped tokens. A batch without any kept token has loss 0.
    """
    kept = apply_goldfish(labels, k, strategy, context_width, include_target, seed, ignore_index)[:, 1:]
    loss = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), kept, ignore_index=ignore_index, reduction="none")
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / (kept != ignore_index).sum().clamp(min=1)


def apply_goldfish(
    labels: Tensor,
    k: int = 4,
    strategy: Strategy = "hash",
    context_width: int = 13,
    include_target: bool = False,
    seed: int = SEED,
    ignore_index: int = -100,
    context: Tensor | None = None,
    positions: Tensor | None = None,
) -> Tensor:
    """[B, T] a copy of the labels with the dropped ones set to `ignore_index`; parameters as in `goldfish_mask`."""
    keep = goldfish_mask(labels, k, strategy, context_width, include_target, seed, ignore_index, context, positions)
    return labels.masked_fill(~keep, ignore_index)


def expected_verbatim_rate(k: int, n: int) -> float:
    """(1 - 1/k)^n: share of n-token continuations in which no token was dropped, so that they can be known whole."""
    return (1 - 1 / k) ** n


Collator = Callable[[Sequence[Any]], dict[str, Any]]


@dataclass(frozen=True)
class GoldfishCollator:
    """The loss for the Hugging Face `Trainer` and TRL: a data collator around the one in use.

    Labels are masked before the Trainer counts them (`num_items_in_batch`), so the mean runs over kept tokens under
    gradient accumulation too; masking inside `compute_loss` would divide by the wrong number. Windows are read from
    `input_ids`, so prompt tokens that carry no loss take part in them, and padding does not.
    """

    base: Collator
    """The collator that makes `input_ids` and `labels`."""
    k: int = 4
    strategy: Strategy = "hash"
    context_width: int = 13
    include_target: bool = False
    seed: int = SEED
    """Unused by `random`, which draws a new mask for each batch from torch's own generator."""
    seq2seq: bool | None = None
    """Labels are another text than `input_ids`, and are hashed on their own; None = seen from each batch."""

    def __call__(self, features: Sequence[Any], *args: Any) -> dict[str, Any]:
        """The batch of the base collator with goldfish labels."""
        batch = self.base(features, *args)
        if "labels" not in batch:
            raise ValueError("the base collator makes no labels, so there is nothing to drop; use one that does")
        labels: Tensor = batch["labels"]
        context, positions = None, None
        ids = batch.get("input_ids")
        if ids is not None and not self.seq2seq and (self.seq2seq is False or _same_text(ids, labels)):
            mask, positions = batch.get("attention_mask"), batch.get("position_ids")
            context = ids if mask is None or mask.shape != ids.shape else ids.masked_fill(mask == 0, -100)
        seed = int(torch.randint(2**62, ())) if self.strategy == "random" else self.seed
        labels = apply_goldfish(
            labels, self.k, self.strategy, self.context_width, self.include_target, seed, -100, context, positions
        )
        if context is not None:
            labels[:, 0] = -100  # nothing predicts it, yet the Trainer counts it for models like GPT-2
        batch["labels"] = labels
        return batch


@accepts_old_keywords()
@dataclass(frozen=True)
class Goldfish(TrainedFromBase):
    """Fine-tune the base model on the records with the goldfish loss.

    `k`, `strategy`, `context_width` and `include_target` define the mask (`goldfish_mask`). The paper also trains
    k/(k-1) times as many epochs, so that as many tokens are learned.
    """

    k: int = 4
    """One target in k carries no loss."""
    strategy: Strategy = "hash"
    """How targets are selected: see `goldfish_mask`."""
    context_width: int = 13
    """Number of tokens whose hash decides whether the next one is dropped; as in the paper."""
    include_target: bool = False
    """Whether the last of them is the target itself, as in the authors' code."""
    hash_seed: int = SEED
    """Seed of the hash."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        config: Any = getattr(getattr(target, "module", None), "config", None)
        wrap = partial(self.wrap, seq2seq=bool(getattr(config, "is_encoder_decoder", False)))
        return finetune_from_base(target, records, "goldfish", self.training, out=self.out, collator=wrap)

    def wrap(self, base: Collator, seq2seq: bool | None = None) -> GoldfishCollator:
        """The collator with these settings, for your own Trainer."""
        mask = (self.k, self.strategy, self.context_width, self.include_target, self.hash_seed)
        return GoldfishCollator(base, *mask, seq2seq)


def _same_text(ids: Tensor, labels: Tensor) -> bool:
    """Whether labels are the inputs (decoder-only) and not another text (encoder-decoder)."""
    return ids.shape == labels.shape and bool(((ids == labels) | (labels == -100)).all())
