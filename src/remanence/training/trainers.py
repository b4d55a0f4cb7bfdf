"""The Trainer for a model: Hugging Face's for decoder-only or encoder-decoder models, or TRL's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainingArguments

from remanence.core.errors import RemanenceError
from remanence.core.settings import spelled
from remanence.models.load import Loaded
from remanence.training.rows import Collator, Row, plain_collator
from remanence.training.settings import FinetuneSettings, TrainingSettings


def build_trainer(
    loaded: Loaded,
    rows: Sequence[Row],
    settings: FinetuneSettings,
    out: Path,
    callbacks: Sequence[Any] = (),
    collator: Collator | None = None,
) -> Any:
    """A Trainer of the chosen library, ready to `.train()`; it saves nothing by itself.

    TRL's trainer receives rows that are already tokenized and masked, as it would have prepared them, and batches and
    packs them itself; it takes no `collator`. Raises `RemanenceError` for what the chosen trainer cannot do.
    """
    if settings.trainer == "trl":
        if loaded.family == "seq2seq":
            raise RemanenceError(
                f"{loaded.name} is an encoder-decoder, which TRL cannot train: use {spelled('trainer', 'hf')}."
            )
        if collator is not None:
            raise RemanenceError(f"TRL creates its own batches: a collator needs {spelled('trainer', 'hf')}.")
        return _trl(loaded, rows, settings, out, callbacks)
    batch = collator or plain_collator(loaded.tokenizer)
    kinds: Any = (Trainer, TrainingArguments)
    if loaded.family == "seq2seq":
        kinds = (Seq2SeqTrainer, Seq2SeqTrainingArguments)
    trainer = kinds[0](
        model=loaded.model,
        args=kinds[1](**trainer_arguments(settings, out)),
        train_dataset=_Rows(rows),
        data_collator=lambda items: batch([Row(item["input_ids"], item["labels"]) for item in items]),  # pyright: ignore
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trainer_arguments(settings: TrainingSettings, out: Path) -> dict[str, Any]:
    """The settings under the names of `TrainingArguments`; nothing is saved or reported."""
    return {
        "output_dir": str(out),
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.accumulate,
        "bf16": settings.autocast,
        "seed": settings.seed,
        "use_cpu": settings.device == "cpu",
        "train_sampling_strategy": "group_by_length" if settings.group_by_length else "random",
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available() and settings.device != "cpu",
        "save_strategy": "no",
        "logging_strategy": "epoch",
        "report_to": [],
        "disable_tqdm": True,
    }


def _trl(loaded: Loaded, rows: Sequence[Row], settings: FinetuneSettings, out: Path, callbacks: Sequence[Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the libraries at import and setup
        import datasets
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        packing = settings.packing != "none"
        config = SFTConfig(
            **trainer_arguments(settings, out),
            max_length=settings.max_length if packing else None,
            packing=packing,
            packing_strategy=settings.packing if packing else "bfd",
            shuffle_dataset=packing,
            gradient_checkpointing=False,
        )
        bars_enabled = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            data = datasets.Dataset.from_list([row._asdict() for row in rows])
            trainer: Any = SFTTrainer(
                model=loaded.model,
                args=config,
                train_dataset=data,
                processing_class=loaded.tokenizer,
                callbacks=list(callbacks),
            )
        finally:
            if bars_enabled:
                datasets.enable_progress_bars()
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Rows(torch.utils.data.Dataset[dict[str, list[int]]]):
    """The rows as a dataset of dicts."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        return self.rows[place]._asdict()
