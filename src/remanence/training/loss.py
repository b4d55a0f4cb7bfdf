"""The loss on rows that are not trained on: what a model that only learned its rows by heart does not lower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from remanence.training.rows import NO_LOSS, Row
from remanence.training.trainers import Collator


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[Row], collate: Collator, batch_size: int, seq2seq: bool) -> float:
    """Mean negative log-probability (nats) of every token that carries loss, each counted once; NaN without any.

    `model` is taken as it is: put it into eval mode first. Rows are batched by length, which changes rounding only.
    """
    device = next(model.parameters()).device
    first = 0 if seq2seq else 1  # a decoder-only model predicts no first token
    usable = [row for row in rows if any(label != NO_LOSS for label in row.labels[first:])]
    usable.sort(key=lambda row: -len(row.input_ids))
    total, count = 0.0, 0
    for at in range(0, len(usable), batch_size):
        batch = {name: value.to(device) for name, value in collate(usable[at : at + batch_size]).items()}
        here = int((batch["labels"][:, first:] != NO_LOSS).sum())
        total += float(model(**batch).loss) * here
        count += here
    return total / count if count else math.nan
