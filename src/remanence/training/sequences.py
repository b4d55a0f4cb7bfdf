"""Predictions and losses: logits aligned with the labels that they predict, the loss of each row, and of a dataset.

Shapes: B rows, T predicted tokens, V vocabulary. A decoder-only model predicts label t from position t - 1, so its
logits are shifted by one here; an encoder-decoder's are not. Labels of -100 carry no loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from remanence.training.rows import NO_LOSS, Collator, Row

Batch: TypeAlias = dict[str, Tensor]
"""`input_ids`, `attention_mask` and unshifted `labels`, each [rows, tokens], as `plain_collator` makes them."""


class Predictions(NamedTuple):
    """Logits and labels, aligned: `logits_BTV[b, t]` predicts `labels_BT[b, t]`."""

    logits_BTV: Tensor
    labels_BT: Tensor

    @property
    def learned_BT(self) -> Tensor:
        """True where a token carries loss."""
        return self.labels_BT != NO_LOSS


class Nll(NamedTuple):
    """Loss of complete rows."""

    sum_B: Tensor
    """Sum of -log p over a row's tokens that carry loss (nats)."""
    tokens_B: Tensor
    """How many such tokens the row has."""


def unwrapped(model: Any) -> Any:
    """The model without the `DataParallel` or DDP wrapper of a Trainer."""
    return model.module if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) else model


def is_seq2seq(model: Any) -> bool:
    """Whether the model is an encoder-decoder, by its config."""
    return bool(unwrapped(model).config.is_encoder_decoder)


def inputs_of(model: Any, batch: Batch) -> dict[str, Any]:
    """Keyword arguments of a forward pass; only an encoder-decoder needs labels, for its decoder input."""
    return {k: v for k, v in batch.items() if k != "labels" or is_seq2seq(model)} | {"use_cache": False}


def aligned(model: Any, logits: Tensor, batch: Batch) -> Predictions:
    """Logits of a forward pass beside the labels that they predict."""
    if is_seq2seq(model):
        return Predictions(logits, batch["labels"])
    return Predictions(logits[:, :-1], batch["labels"][:, 1:])


def predictions(model: Any, batch: Batch, reference: Callable[..., Any] | None = None) -> Predictions:
    """One forward pass of the model or, if given, of its `ReferenceModel`."""
    inputs = inputs_of(model, batch)
    outputs = model(**inputs) if reference is None else reference(model, **inputs)
    return aligned(model, outputs.logits, batch)


def token_nll(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """[B, T] -log p of every label (nats); 0 where it carries no loss."""
    flat = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), labels_BT.flatten(), ignore_index=NO_LOSS, reduction="none"
    )
    return flat.view(labels_BT.shape)


def row_nll(logits_BTV: Tensor, labels_BT: Tensor) -> Nll:
    """The loss of every row, from aligned logits and labels."""
    return Nll(token_nll(logits_BTV, labels_BT).sum(1), (labels_BT != NO_LOSS).sum(1))


def sequence_nll(model: Any, batch: Batch, reference: Callable[..., Any] | None = None) -> Nll:
    """The loss of every row of a batch, under the model or, if given, under its `ReferenceModel`."""
    return row_nll(*predictions(model, batch, reference))


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[Row], collate: Collator, batch_size: int, seq2seq: bool) -> float:
    """Mean negative log-probability (nats) of all tokens that carry loss, each counted once; NaN without any.

    The mode of `model` is not changed: put it into eval mode first. Rows are batched by length, which changes only
    rounding.
    """
    device = next(model.parameters()).device
    first = 0 if seq2seq else 1  # a decoder-only model does not predict the first token
    usable = [row for row in rows if any(label != NO_LOSS for label in row.labels[first:])]
    usable.sort(key=lambda row: -len(row.input_ids))
    total, count = 0.0, 0
    for start in range(0, len(usable), batch_size):
        batch = {name: value.to(device) for name, value in collate(usable[start : start + batch_size]).items()}
        num_tokens = int((batch["labels"][:, first:] != NO_LOSS).sum())
        total += float(model(**batch).loss) * num_tokens
        count += num_tokens
    return total / count if count else math.nan
