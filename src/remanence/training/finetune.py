"""Fine-tunes a language model on records with the Hugging Face `Trainer`, and writes nothing but the model.

Works for decoder-only and encoder-decoder models; the model's config says which it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.load import Loaded
from remanence.models.render import Renderer
from remanence.training.callbacks import (
    EpochEndCallback,
    OnEpoch,
    ProgressBarCallback,
    checkpoint_folder,
    save_model,
    silence_transformers,
)
from remanence.training.opening import lora, open_for_training, with_adapter
from remanence.training.prepare import Prepared, prepare
from remanence.training.rows import Collator as Collator
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import mean_loss
from remanence.training.settings import FinetuneSettings, TrainingSettings, finetune_settings
from remanence.training.trainers import build_trainer


class Epoch(NamedTuple):
    """Losses after a number of epochs."""

    epoch: int
    """0 = before training."""
    steps: int
    """Optimizer steps so far."""
    train_loss: float | None
    """Mean training loss over the steps of the epoch (nats per token); None before training."""
    heldout_loss: float | None
    """Mean loss per token that carries loss, on rows that are not trained on (nats); None without such rows."""


class Trained(NamedTuple):
    """A trained model in memory, and the course of its training."""

    model: Any
    """In eval mode; a `PeftModel` for an adapter."""
    epochs: list[Epoch]
    num_trainable: int
    """Parameters that were trained."""
    num_sequences: int
    """Sequences per epoch: rows, or packs of rows."""
    device: str


def finetune(
    base: Path | str,
    records: Sequence[Record],
    out: Path,
    settings: TrainingSettings | None = None,
    *,
    adapter: Any = None,
    save_epochs: bool = False,
    on_epoch: OnEpoch | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    collator: Callable[[Collator], Collator] | None = None,
    progress: bool = True,
    **parameters: Any,
) -> Path:
    """Train `base` on the records and write weights (safetensors, float32) and tokenizer into the folder `out`.

    `parameters`: fields of `TrainingSettings`, in place of those of `settings`.

    Rows of a decoder-only model are tokenized and masked as in TRL's `SFTTrainer`; an encoder-decoder reads the prompt
    and learns the completion (`rows.py`). Rows are truncated to `max_length` tokens, or to the model's context if that
    is less; a row with no token left that carries loss is dropped. Each of the others is used exactly `epochs` times,
    in a new order every epoch. AdamW without weight decay; the learning rate decreases linearly to zero. On a CPU, the
    same arguments give the same bytes as long as the number of threads is the same. `autocast` is useful on a GPU, and
    many times slower on a CPU without bfloat16 arithmetic.

    `adapter`: a PEFT config for an adapter other than `lora_rank`'s. `save_epochs` writes the model after every epoch
    into `out/checkpoints/epoch-001` and so on, each a complete model folder. `on_epoch(epoch, model)` is called after
    every epoch, from 1, with the live model in eval mode; its random numbers do not change the training. `collator`
    receives the function that makes a batch (`input_ids`, `attention_mask`, `labels`, each [rows, tokens]) and returns
    one to use in its place, for example to mask labels. `progress` shows a bar on stderr. Raises `RemanenceError` if no
    row is left.

    `remanence.jobs.finetune.finetune_job` also splits the data and records everything.
    """
    chosen = finetune_settings(replace(settings or TrainingSettings(), **parameters), save_epochs=save_epochs)
    with silence_transformers():
        loaded = open_for_training(base, dropout=chosen.dropout, loss_on=chosen.loss_on)
        rows = prepare(records, renderer_for(loaded, chosen))
        trained = train_rows(
            loaded,
            rows,
            chosen,
            out,
            base=base,
            adapter=adapter,
            on_epoch=on_epoch,
            callbacks=callbacks,
            collator=collator,
            progress=progress,
        )
        save_model(trained.model, loaded.tokenizer, out)
    return out


def renderer_for(loaded: Loaded, settings: TrainingSettings) -> Renderer:
    """Renders rows as in the training of this model, and as in an audit with the same options."""
    seq2seq = loaded.family == "seq2seq"
    return Renderer(loaded.tokenizer, settings.loss_on, settings.max_length, seq2seq=seq2seq, context=loaded.context)


def train_rows(
    loaded: Loaded,
    rows: Prepared,
    settings: FinetuneSettings,
    out: Path,
    *,
    base: Path | str,
    heldout: Sequence[Row] = (),
    adapter: Any = None,
    on_epoch: OnEpoch | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    collator: Callable[[Collator], Collator] | None = None,
    on_trainer: Callable[[Any], None] | None = None,
    progress: bool = True,
) -> Trained:
    """Train a loaded model on prepared rows; only the checkpoints of `settings.save_epochs` are written into `out`.

    The loss on the rows `heldout` is measured before training and after every epoch. `on_trainer` receives the Trainer
    before it runs, to change how it computes the loss. Raises `RemanenceError` without rows.
    """
    if not rows.rows:
        raise RemanenceError(
            f"None of the {len(rows.dropped)} rows has a token to learn within "
            f"{settings.max_length or loaded.context} tokens; raise max_length."
        )
    if adapter is not None and settings.lora_rank is not None:
        raise RemanenceError("Both lora_rank and adapter were given: name one of the two.")
    torch.manual_seed(settings.seed)
    if settings.lora_rank is not None:
        adapter = lora(settings.lora_rank, settings.lora_alpha, settings.dropout, loaded.family)
    if adapter is not None:
        loaded = replace(loaded, model=with_adapter(loaded.model, adapter, base))
    plain = plain_collator(loaded.tokenizer)
    losses: dict[int, float] = {}

    def evaluate(epoch: int, model: Any) -> None:
        if heldout:
            losses[epoch] = mean_loss(model, heldout, plain, settings.batch_size, loaded.family == "seq2seq")

    def after(epoch: int, model: Any) -> None:
        if settings.save_epochs:
            save_model(model, loaded.tokenizer, checkpoint_folder(out, epoch))
        evaluate(epoch, model)
        if on_epoch is not None:
            on_epoch(epoch, model)

    needs_epoch_end = settings.save_epochs or on_epoch is not None or bool(heldout)
    all_callbacks = [
        *([ProgressBarCallback()] if progress else []),
        *([EpochEndCallback(after)] if needs_epoch_end else []),
        *callbacks,
    ]
    trainer = build_trainer(
        loaded, rows.rows, settings, out, all_callbacks, None if collator is None else collator(plain)
    )
    if on_trainer is not None:
        on_trainer(trainer)
    evaluate(0, loaded.model.eval())
    trainer.train()
    loaded.model.eval()
    return Trained(
        loaded.model,
        [Epoch(0, 0, None, _finite(losses.get(0))), *_epochs(trainer.state.log_history, losses)],
        num_trainable=sum(p.numel() for p in loaded.model.parameters() if p.requires_grad),
        num_sequences=len(trainer.train_dataset),
        device=next(loaded.model.parameters()).device.type,
    )


def _epochs(logs: Sequence[dict[str, Any]], losses: dict[int, float]) -> list[Epoch]:
    """The Trainer's log, one line an epoch; a last, unfinished epoch counts as one and has no held-out loss."""
    lines = [line for line in logs if "loss" in line]
    return [
        Epoch(number, int(line["step"]), _finite(float(line["loss"])), _finite(losses.get(number)))
        for number, line in enumerate(lines, 1)
    ]


def _finite(loss: float | None) -> float | None:
    """JSON has no NaN."""
    return None if loss is None or math.isnan(loss) else loss
