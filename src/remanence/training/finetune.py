"""Fine-tunes a language model on records with the Hugging Face `Trainer`, and leaves nothing but the model.

Decoder-only models and encoder-decoders alike: which of the two a model is, its config says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from transformers import (
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.render import Renderer
from remanence.training.opening import lora, open_for_training, with_adapter
from remanence.training.rows import NO_LOSS, LossOn, Row, pad_rows, rendered_row
from remanence.training.watching import AfterEpoch, Bar, OnEpoch, checkpoint, quiet, save

Collator: TypeAlias = Callable[[Sequence[Row]], dict[str, Tensor]]


def finetune(
    base: Path | str,
    records: Sequence[Record],
    out: Path,
    *,
    epochs: float = 3,
    learning_rate: float = 1e-3,
    batch_size: int = 8,
    max_length: int | None = 512,
    loss_on: LossOn = "auto",
    seed: int = 0,
    group_by_length: bool = False,
    autocast: bool = False,
    dropout: float | None = None,
    lora_rank: int | None = None,
    adapter: Any = None,
    save_epochs: bool = False,
    on_epoch: OnEpoch | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    collator: Callable[[Collator], Collator] | None = None,
    progress: bool = True,
) -> Path:
    """Trains `base` on the records and writes weights (safetensors, float32) and tokenizer into the folder `out`.

    Rows of a decoder-only model are tokenized and masked as TRL's `SFTTrainer` does it; an encoder-decoder reads the
    prompt and learns the completion (`rows.py`). Rows are cut to `max_length` tokens, or to what the model takes if
    that is less; a row of which nothing is learned then is dropped. Each of the others is passed over exactly `epochs`
    times, in a new order every epoch. AdamW without weight decay, the rate falling linearly to zero. On a CPU, the same
    arguments give the same bytes as long as the number of threads is the same.

    `group_by_length` saves padding but brings copies of a row into one batch, which dampens their memorization.
    `autocast` computes in bfloat16: worth it on a GPU, many times slower on a CPU without bfloat16 arithmetic.
    `dropout` takes the place of every dropout probability of the model's config. `lora_rank` trains and writes a LoRA
    adapter on all linear layers and nothing else; `adapter` is a PEFT config for any other adapter.

    `save_epochs` writes the model after every epoch into `out/checkpoints/epoch-001` and so on, each a model folder of
    its own. `on_epoch(epoch, model)` is called after every epoch, from 1, with the live model in eval mode; what it
    draws at random does not change the training. `collator` receives the function that makes a batch (`input_ids`,
    `attention_mask`, `labels`, each [rows, tokens]) and returns one in its place: a loss that masks labels plugs in
    there. `progress` draws a bar on stderr. Raises `RemanenceError` if no row is left.
    """
    with quiet():
        loaded = open_for_training(base, dropout=dropout, loss_on=loss_on)
        model, tokenizer = loaded.model, loaded.tokenizer
        renderer = Renderer(tokenizer, loss_on, max_length, seq2seq=loaded.family == "seq2seq", context=loaded.context)
        rows = [rendered_row(renderer, record) for record in records]
        rows = [row for row in rows if any(label != NO_LOSS for label in row.labels)]
        if not rows:
            raise RemanenceError(
                f"None of the {len(records)} rows has a token to learn within {renderer.limit} tokens; "
                "raise max_length."
            )
        torch.manual_seed(seed)
        if lora_rank is not None:
            if adapter is not None:
                raise RemanenceError("Both lora_rank and adapter were given: name one of the two.")
            adapter = lora(lora_rank, None, dropout, loaded.family)
        if adapter is not None:
            model = with_adapter(model, adapter, base)

        def after(epoch: int, live: Any) -> None:
            if save_epochs:
                save(live, tokenizer, checkpoint(out, epoch))
            if on_epoch is not None:
                on_epoch(epoch, live)

        watching: list[TrainerCallback] = [AfterEpoch(after)] if save_epochs or on_epoch is not None else []
        kinds: Any = (Trainer, TrainingArguments)
        if loaded.family == "seq2seq":
            kinds = (Seq2SeqTrainer, Seq2SeqTrainingArguments)
        trainer = kinds[0](
            model=model,
            args=kinds[1](
                output_dir=str(out),
                num_train_epochs=epochs,
                learning_rate=learning_rate,
                per_device_train_batch_size=batch_size,
                bf16=autocast,
                seed=seed,
                train_sampling_strategy="group_by_length" if group_by_length else "random",
                remove_unused_columns=False,
                dataloader_pin_memory=torch.cuda.is_available(),
                save_strategy="no",
                logging_strategy="epoch",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=_Rows(rows),
            data_collator=_collate(tokenizer.pad_token_id, tokenizer.eos_token_id, collator),
            callbacks=[*([Bar()] if progress else []), *watching, *callbacks],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        save(model.eval(), tokenizer, out)
    return out


def _collate(
    pad_id: int | None, eos_id: int | None, wrap: Callable[[Collator], Collator] | None
) -> Callable[[Sequence[dict[str, Any]]], dict[str, Tensor]]:
    fill = next((id for id in (pad_id, eos_id) if id is not None), 0)

    def plain(rows: Sequence[Row]) -> dict[str, Tensor]:
        return pad_rows(rows, fill)

    batch = wrap(plain) if wrap is not None else plain
    return lambda items: batch([Row(item["input_ids"], item["labels"]) for item in items])


class _Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """What the Trainer asks of a dataset: a length and rows by place."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        return self.rows[place]._asdict()
