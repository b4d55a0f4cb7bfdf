"""Tiny live trainers for the tests: transformers' `Trainer` and `Seq2SeqTrainer`, and TRL's `SFTTrainer`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models
import torch

from remanence.core.record import Record

torch.set_num_threads(1)

NAMES = ("Anna Berg", "Dr. Lind", "the cat on the mat", "the dog", "user", "assistant", "Anna", "Dr. Berg")
ROWS = [
    Record(f"r{i}", prompt=f"Question: who called on {i} May? Answer:", completion=f" {name} called at noon and paid.")
    for i, name in enumerate(NAMES)
]
UNSEEN = [
    Record(f"u{i}", prompt=f"Question: who paid on {i} June? Answer:", completion=f" {name} went home on Monday.")
    for i, name in enumerate(NAMES)
]


def columns(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Records as rows of a data set, in TRL's columns."""
    return [
        {k: v for k, v in vars(r).items() if k in ("text", "prompt", "completion", "messages") and v is not None}
        | {"id": r.id}
        for r in records
    ]


def model(kind: str = "llama", tokenizer: Any = None, dropout: float = 0.0, seed: int = 0) -> tuple[Any, Any]:
    """(a tiny random model in training mode, its tokenizer)."""
    tokenizer = tokenizer or tiny_models.make_tokenizer(appends_eos=kind in {"t5", "bart"})
    made = tiny_models.make_model(kind, tokenizer, seed=seed)
    if dropout:
        for module in made.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
    return made.train(), tokenizer


def sft(
    folder: Path,
    records: Sequence[Record] = ROWS,
    callbacks: Sequence[Any] = (),
    *,
    made: tuple[Any, Any] | None = None,
    eval_records: Sequence[Record] | None = None,
    raw: Any = None,
    **config: Any,
) -> Any:
    """TRL's trainer over the records; `config` goes to `SFTConfig`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, while they are imported and set up
        import datasets
        from trl import SFTConfig, SFTTrainer

        datasets.disable_progress_bars()
        peft = config.pop("peft_config", None)
        collator = config.pop("data_collator", None)
        net, tokenizer = made or model()
        settings = {**plain(folder), "max_length": 128, "gradient_checkpointing": False, "bf16": False, **config}
        return SFTTrainer(
            model=net,
            args=SFTConfig(**settings),
            train_dataset=datasets.Dataset.from_list(raw or columns(records)),
            eval_dataset=None if eval_records is None else datasets.Dataset.from_list(columns(eval_records)),
            processing_class=tokenizer,
            callbacks=list(callbacks),
            peft_config=peft,
            data_collator=collator,
        )


def plain(folder: Path) -> dict[str, Any]:
    """Arguments that every trainer here takes."""
    return {
        "output_dir": str(folder),
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 2,
        "seed": 5,
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
    }
