"""Fine-tunes a causal language model on records with the Hugging Face `Trainer`, and leaves nothing but the model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils import logging as hf_logging

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.training.rows import NO_LOSS, LossOn, Row, pad_rows, training_row

Collator: TypeAlias = Callable[[Sequence[Row]], dict[str, Tensor]]


def finetune(
    base: Path | str,
    records: Sequence[Record],
    out: Path,
    *,
    epochs: float = 3,
    learning_rate: float = 1e-3,
    batch_size: int = 8,
    max_length: int = 512,
    loss_on: LossOn = "auto",
    seed: int = 0,
    group_by_length: bool = False,
    autocast: bool = False,
    adapter: Any = None,
    callbacks: Sequence[TrainerCallback] = (),
    collator: Callable[[Collator], Collator] | None = None,
    progress: bool = True,
) -> Path:
    """Trains `base` on the records and writes weights (safetensors, float32) and tokenizer into the folder `out`.

    Rows are tokenized and masked as TRL's `SFTTrainer` does it (`rows.py`); a row of which nothing is learned after
    the cut to `max_length` tokens is dropped, as there. AdamW without weight decay, the rate falling linearly to zero.

    `group_by_length` saves padding but brings copies of a row into one batch, which dampens their memorization.
    `autocast` computes in bfloat16: worth it on a GPU, many times slower on a CPU without bfloat16 arithmetic.
    `adapter` is a PEFT config; then only the adapter is trained and written. `collator` receives the function that
    makes a batch (`input_ids`, `attention_mask`, `labels`, each [rows, tokens]) and returns one in its place: a loss
    that masks labels plugs in there. `progress` draws a bar on stderr. Raises `RemanenceError` if no row is left.
    """
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(base)
        rows = [training_row(tokenizer, record, max_length, loss_on) for record in records]
        rows = [row for row in rows if any(label != NO_LOSS for label in row.labels)]
        if not rows:
            raise RemanenceError(
                f"None of the {len(records)} rows has a token to learn within {max_length} tokens; raise max_length."
            )
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if adapter is not None:
            model = _adapted(model, adapter)
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
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
            callbacks=[*([_Bar()] if progress else []), *callbacks],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        model.eval().save_pretrained(out)
        tokenizer.save_pretrained(out)
    return out


def _adapted(model: Any, adapter: Any) -> Any:
    """The model with a fresh PEFT adapter, the only part that will be trained."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers 5 for a name that will go in 6
        return get_peft_model(model, adapter)


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


class _Bar(TrainerCallback):
    """A progress bar over the optimizer steps with the latest loss."""

    def __init__(self) -> None:
        columns = (TextColumn("Fine-tuning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.task = self.bar.add_task("", total=state.max_steps)
        self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss", math.nan)
        if not math.isnan(float(loss)):
            self.bar.update(self.task, description=f"loss {float(loss):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.stop()


@contextmanager
def _quiet() -> Generator[None]:
    """Keeps transformers' own bars and notes off the screen while our bar is on it."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
