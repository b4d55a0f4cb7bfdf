"""Turns records into the token ids and loss masks that TRL's `SFTTrainer` would train on, token for token.

Follows `SFTTrainer._prepare_dataset` of TRL 1.16: `tests/training/test_rows.py` compares the two. The renderer that
audits use is `remanence.models.render`; this one exists only so that training does not depend on TRL.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from remanence.core.errors import RemanenceError
from remanence.core.record import Record

LossOn: TypeAlias = Literal["all", "completion", "assistant"]
NO_LOSS = -100
"""Label of a token that is read but not learned."""


class Row(NamedTuple):
    """One training row: `labels` equals `input_ids` where the loss counts and is -100 elsewhere."""

    input_ids: list[int]
    labels: list[int]


def training_row(tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int, loss_on: LossOn) -> Row:
    """The record as it is trained on, cut to its first `max_length` tokens.

    `text` and `prompt` + `completion` get the end-of-text token unless they end with it; prompt and completion are
    joined before tokenizing, and the completion begins where the ids of the prompt alone end. `messages` go through
    the tokenizer's chat template. `loss_on="completion"` masks the prompt of a pair and changes nothing for the other
    two forms; `loss_on="assistant"` masks all but the assistant's turns of `messages`.
    """
    if record.form == "messages":
        ids, learned = _chat(tokenizer, record, loss_on)
    elif record.form == "pair":
        ids = _ids(tokenizer, f"{record.prompt}{_ended(tokenizer, record.completion or '')}")
        prompt = _ids(tokenizer, record.prompt or "")
        start = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, ids, strict=False)))
        learned = [place >= start or loss_on != "completion" for place in range(len(ids))]
    else:
        ids = _ids(tokenizer, _ended(tokenizer, record.text or ""))
        learned = [True] * len(ids)
    labels = [token if keep else NO_LOSS for token, keep in zip(ids, learned, strict=True)]
    return Row(ids[:max_length], labels[:max_length])


def pad_rows(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
    """A batch for the model, rows padded on the right: `input_ids`, `attention_mask`, `labels`, each [rows, tokens]."""

    def padded(lists: Sequence[Sequence[int]], value: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x in lists], batch_first=True, padding_value=value)

    return {
        "input_ids": padded([row.input_ids for row in rows], pad_id),
        "attention_mask": padded([[1] * len(row.input_ids) for row in rows], 0),
        "labels": padded([row.labels for row in rows], NO_LOSS),
    }


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text=text)["input_ids"])


def _ended(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with the end-of-text token behind it, once."""
    eos = str(tokenizer.eos_token)
    return text if text.endswith(eos) else text + eos


def _chat(tokenizer: PreTrainedTokenizerBase, record: Record, loss_on: LossOn) -> tuple[list[int], list[bool]]:
    if tokenizer.chat_template is None:
        raise RemanenceError(f"Row {record.id} holds messages, but the tokenizer has no chat template; set one first.")
    assistant = loss_on == "assistant"
    turns = [dict(turn) for turn in record.messages or ()]
    made: Any = tokenizer.apply_chat_template(
        turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=assistant
    )
    ids = list(made["input_ids"])
    return ids, [bool(bit) for bit in made["assistant_masks"]] if assistant else [True] * len(ids)
