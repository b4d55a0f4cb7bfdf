"""Pre-flight check: what a trainer will really train on, reported before the training starts.

The prepared dataset is passed through the live collator, sequence by sequence. Where the original rows are available,
each is searched in these sequences: whole, cut, split over sequences, or left out.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.jobs.preflight.result import Preflight, Setup
from remanence.jobs.preflight.row_status import RowStatus, TokenIndex, row_status
from remanence.jobs.preflight.secret_status import secret_statuses
from remanence.jobs.preflight.sequences import (
    MAX_SEQUENCES,
    CollatedSequence,
    collated_sequences,
    dataset_items,
    rows_attend_across,
)
from remanence.models.render import Renderer, render_all
from remanence.models.settings import LossOn
from remanence.training.ranks import sharding
from remanence.training.reference import preserve_training_state
from remanence.training.sequences import is_seq2seq


def preflight(
    trainer: Any,
    records: Any = None,
    *,
    secrets: Sequence[str | Record] = (),
    loss_on: LossOn = "auto",
    max_length: int | None = None,
    max_sequences: int = MAX_SEQUENCES,
    seed: int = 0,
    loader: Any = None,
    limit: int | None = None,
) -> Preflight:
    """What a `Trainer`, `Seq2SeqTrainer` or TRL `SFTTrainer` passes to its model, read from the live trainer.

    `records`: the rows as they were before the trainer prepared them, in any form that `remanence.audit` takes; without
    them, the raw columns that TRL's prepared dataset keeps when it does not pack are used. `secrets`: texts that must
    be learned whole. `loss_on`, `max_length`: how rows are masked and truncated, for trainers other than TRL's. At most
    `max_sequences` sequences are read; a stream must allow to be read again. The training is not changed, random
    numbers included. `limit` is the deprecated name of `max_sequences`.
    """
    if limit is not None:
        import warnings

        warnings.warn("preflight(limit=...) is now called max_sequences", DeprecationWarning, stacklevel=2)
        max_sequences = limit
    model = trainer.model
    if isinstance(trainer.train_dataset, Sized) and not len(trainer.train_dataset):
        raise RemanenceError(
            "No row is left to train on: the trainer left out every row when it prepared them, as TRL does with rows "
            "that have no token to learn within max_length: raise max_length, or check that the rows are not empty."
        )
    with preserve_training_state(model):
        loader = trainer.get_train_dataloader() if loader is None else loader
        seq2seq = is_seq2seq(model)
        sequences = list(collated_sequences(loader, seq2seq, max_sequences, seed))
        see_each_other = _rows_see_each_other(model, loader, sequences, max_sequences, seed)
    setup = setup_of(trainer, loss_on, max_length, see_each_other)
    tokenizer = trainer.processing_class
    rows, not_compared = _row_statuses(trainer, records, sequences, setup, loss_on, max_sequences, seq2seq)
    secret_texts = [_secret_text(secret) for secret in secrets]
    if secret_texts and tokenizer is None:
        raise RemanenceError("Secrets are searched in decoded text: give the trainer a tokenizer as processing_class.")
    return Preflight(
        setup=setup,
        sequences=len(sequences),
        num_sequences=len(loader.dataset) if hasattr(loader.dataset, "__len__") else None,
        pieces=sum(len(sequence.lengths) for sequence in sequences),
        tokens=sum(sequence.ids.size for sequence in sequences),
        learned=sum(int(sequence.predicted.sum()) for sequence in sequences),
        no_loss=tuple(sequence.place for sequence in sequences if not sequence.predicted.any()),
        mask_lost=_mask_differences(sequences, lost=True),
        mask_added=_mask_differences(sequences, lost=False),
        ends=_learned_ends(sequences, getattr(tokenizer, "eos_token_id", None)),
        rows=rows,
        not_compared=not_compared,
        secrets=tuple(secret_statuses(secret_texts, sequences, tokenizer)),
    )


def setup_of(trainer: Any, loss_on: str, max_length: int | None, see_each_other: bool | None = None) -> Setup:
    """How a trainer says that it prepares rows."""
    args, name = trainer.args, type(trainer).__name__
    if not hasattr(args, "packing_strategy"):
        return Setup(name, "none", False, max_length, "own" if loss_on == "auto" else loss_on, see_each_other)
    on = "assistant" if args.assistant_only_loss else "completion" if trainer.completion_only_loss else "all"
    packing = args.packing_strategy if args.packing else "none"
    return Setup(name, packing, bool(trainer.padding_free), args.max_length, on, see_each_other)


def renderer_of(trainer: Any, loss_on: LossOn = "auto", form: str = "text", max_length: int | None = None) -> Renderer:
    """Renders rows of a form as this trainer does; TRL's own settings are used, for other trainers the arguments."""
    tokenizer, seq2seq = trainer.processing_class, is_seq2seq(trainer.model)
    if tokenizer is None:
        raise RemanenceError("Rows given as text need a tokenizer: give it to the trainer as processing_class.")
    setup = setup_of(trainer, loss_on, max_length)
    on: LossOn = loss_on
    if setup.loss_on == "assistant":
        on = "assistant"
    elif hasattr(trainer.args, "packing_strategy"):
        on = "completion" if setup.loss_on == "completion" and form == "pair" else "all"
    return Renderer(tokenizer, on, setup.max_length, seq2seq=seq2seq)


def _row_statuses(
    trainer: Any,
    given: Any,
    sequences: Sequence[CollatedSequence],
    setup: Setup,
    loss_on: LossOn,
    max_rows: int,
    seq2seq: bool,
) -> tuple[tuple[RowStatus, ...], str | None]:
    """(the status of every row, None), or ((), why the rows are not available)."""
    try:
        records = _raw_rows(trainer, max_rows) if given is None else records_from(given)
        renderer = renderer_of(trainer, loss_on, records[0].form)
    except RemanenceError as error:
        if given is not None:
            raise
        return (), str(error)
    untruncated = Renderer(renderer.tokenizer, renderer.loss_on, None, renderer.add_eos, seq2seq)
    rendered = render_all(records, untruncated)
    cut_lengths = [n for n in (setup.max_length,) if n]

    def statuses(crosses_rows: bool) -> list[RowStatus]:
        index = TokenIndex(sequences, crosses_rows)
        return [_status(record, row, index, cut_lengths) for record, row in zip(records, rendered, strict=True)]

    found = statuses(crosses_rows=setup.packing == "wrapped")
    if setup.loss_on == "own" and 2 * sum(row.parts == 0 for row in found) > len(found):
        found = max(found, statuses(crosses_rows=True), key=_num_found)
    return tuple(found), None


def _status(record: Record, row: Rendered | str, index: TokenIndex, cut_lengths: Sequence[int]) -> RowStatus:
    if isinstance(row, str):
        return RowStatus(record.id, 0, 0, 0, 0, 0)
    return row_status(record.id, row, index, cut_lengths)


def _num_found(rows: Sequence[RowStatus]) -> int:
    return sum(row.parts > 0 for row in rows)


def _raw_rows(trainer: Any, max_rows: int) -> list[Record]:
    """The rows from the raw columns that the prepared dataset still has."""
    data = trainer.train_dataset
    columns = list(getattr(data, "column_names", None) or [])
    field = getattr(trainer.args, "dataset_text_field", None) or "text"
    if not {"prompt", "messages", field} & set(columns):
        raise RemanenceError("The prepared dataset keeps no raw columns: give the rows as records.")
    prepared = {"input_ids", "labels", "completion_mask", "assistant_masks", "attention_mask", "seq_lengths"}
    rows = [{k: v for k, v in item.items() if k not in prepared} for _, item in dataset_items(data, max_rows)]
    return records_from(rows, **({"text_column": field} if field in columns and field != "text" else {}))


def _rows_see_each_other(
    model: Any, loader: Any, sequences: Sequence[CollatedSequence], max_sequences: int, seed: int
) -> bool | None:
    if sharding(model) or not any(len(sequence.lengths) > 1 for sequence in sequences):
        return None
    items = (item for _, item in dataset_items(loader.dataset, max_sequences, seed))
    return rows_attend_across(model, loader.collate_fn, zip(items, sequences, strict=True))


def _mask_differences(sequences: Sequence[CollatedSequence], lost: bool) -> tuple[int, int]:
    """(tokens, sequences) where the collator's mask differs from the dataset's.

    The first token of a piece is not counted: nothing predicts it, and padding-free collators mask it.
    """
    counts: list[int] = []
    for sequence in sequences:
        if sequence.requested is None:
            continue
        differs = sequence.learned & ~sequence.requested if lost else sequence.requested & ~sequence.learned
        if sequence.source is None:
            starts = np.cumsum((0, *sequence.lengths[:-1]))
            differs[starts] = False
        counts.append(int(differs.sum()))
    return sum(counts), sum(count > 0 for count in counts)


def _learned_ends(sequences: Sequence[CollatedSequence], eos: int | None) -> tuple[int, int]:
    """(learned, all) pieces that end with the end-of-text token."""
    learned = found = 0
    for sequence in sequences:
        for last in np.cumsum(sequence.lengths) - 1:
            if eos is not None and last >= 0 and sequence.ids.size and sequence.ids[last] == eos:
                found += 1
                learned += bool(sequence.learned[last])
    return learned, found


def _secret_text(secret: str | Record) -> str:
    if isinstance(secret, str):
        return secret
    if secret.messages is not None:
        return str(secret.messages[-1]["content"])
    return secret.text if secret.text is not None else secret.completion or ""
