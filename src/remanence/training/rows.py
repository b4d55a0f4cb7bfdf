"""Training rows: a rendered record as the token ids and labels that a Trainer takes, and batches of them.

Training and audit render a row through the same code, `remanence.models.render`, so they cannot differ;
`tests/training/test_rows.py` compares the result with TRL's live `SFTTrainer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.models.render import Renderer
from remanence.models.settings import LossOn

NO_LOSS = -100
"""Label of a token that is read but carries no loss."""


class Row(NamedTuple):
    """One training row in the form that a model takes."""

    input_ids: list[int]
    """[T] all tokens; for an encoder-decoder [S] what the encoder reads."""
    labels: list[int]
    """[T] the same tokens where the loss counts, -100 elsewhere; for an encoder-decoder [T] what the decoder learns."""


def training_row(tokenizer: Any, record: Record, max_length: int | None, loss_on: LossOn, seq2seq: bool = False) -> Row:
    """The record as trained on, cut to its first `max_length` tokens; an empty row when there is nothing to learn."""
    try:
        return row_of(Renderer(tokenizer, loss_on, max_length, seq2seq=seq2seq)(record))
    except NotMeasured:
        return Row([], [])


def row_of(rendered: Rendered) -> Row:
    """A rendered record in the form that a model takes in training."""
    labels = np.where(rendered.supervised, rendered.ids, NO_LOSS).tolist()
    return Row((rendered.ids if rendered.source is None else rendered.source).tolist(), labels)


def pad_rows(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """A batch for the model, rows padded on the right: `input_ids`, `attention_mask`, `labels`, each [rows, tokens].

    An encoder-decoder model derives its decoder input from the labels.
    """

    def padded(lists: Sequence[Sequence[int]], value: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(x, dtype=torch.long) for x in lists], batch_first=True, padding_value=value
        )

    return {
        "input_ids": padded([row.input_ids for row in rows], pad_id),
        "attention_mask": padded([[1] * len(row.input_ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], NO_LOSS),
    }


Collator: TypeAlias = Callable[[Sequence[Row]], dict[str, Tensor]]
"""Makes a batch of rows: `input_ids`, `attention_mask`, `labels`, each [rows, tokens]."""


def plain_collator(tokenizer: Any) -> Collator:
    """Pads on the right with the pad token, else the end-of-text token, else token 0."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    fill = next((id for id in ids if id is not None), 0)
    return lambda rows: pad_rows(rows, fill)
