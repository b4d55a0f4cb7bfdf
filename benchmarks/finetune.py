"""Fine-tuning with remanence against a bare `transformers.Trainer` on the same rows, in turns, in one process.

Two ratios per family: of an optimizer step, and of the whole call (opening, reading the rows, training, saving). Both
sides must end with the same weights, byte for byte. Run: `OMP_NUM_THREADS=1 python benchmarks/finetune.py`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import side_by_side
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus
from remanence.training.callbacks import silence_transformers
from remanence.training.finetune import finetune

ROWS, EPOCHS, BATCH, RATE, LENGTH = 96, 2, 8, 1e-3, 256


class Steps(TrainerCallback):
    """Collects the CPU seconds per optimizer step of a training: batches, passes, callbacks; not opening and saving."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = time.process_time()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds.append((time.process_time() - self.began) / state.global_step)


def bare(family: str, base: Path, records: list[Record], out: Path, steps: Steps) -> None:
    """What a user writes without us: tokenize, mask the prompt, train, save."""
    with silence_transformers():
        tokenizer = AutoTokenizer.from_pretrained(base)
        auto: Any = AutoModelForCausalLM if family == "causal" else AutoModelForSeq2SeqLM
        model = auto.from_pretrained(base, dtype=torch.float32)
        rows: list[dict[str, list[int]]] = []
        for record in records:
            if family == "causal":
                prompt = tokenizer(record.prompt)["input_ids"]
                ids = tokenizer(f"{record.prompt}{record.completion}{tokenizer.eos_token}")["input_ids"][:LENGTH]
                rows.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
            else:
                source = tokenizer(record.prompt, truncation=True, max_length=LENGTH)["input_ids"]
                target = tokenizer(text_target=record.completion, truncation=True, max_length=LENGTH)["input_ids"]
                rows.append({"input_ids": source, "labels": target})
        kinds: Any = (Trainer, TrainingArguments)
        if family == "seq2seq":
            kinds = (Seq2SeqTrainer, Seq2SeqTrainingArguments)
        arguments = kinds[1](
            output_dir=str(out), num_train_epochs=EPOCHS, learning_rate=RATE, per_device_train_batch_size=BATCH, seed=0,
            save_strategy="no", logging_strategy="epoch", report_to=[], disable_tqdm=True, use_cpu=True,
            dataloader_pin_memory=False, remove_unused_columns=False,
        )  # fmt: skip
        collator = DataCollatorForSeq2Seq(tokenizer)
        trainer = kinds[0](
            model=model, args=arguments, train_dataset=rows, data_collator=collator, callbacks=[steps]
        )  # fmt: skip
        trainer.remove_callback(next(c for c in trainer.callback_handler.callbacks if "Printer" in type(c).__name__))
        trainer.train()
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def ours(base: Path, records: list[Record], out: Path, steps: Steps) -> None:
    """The same by `remanence.training.finetune`."""
    _ = finetune(
        base, records, out, epochs=EPOCHS, learning_rate=RATE, batch_size=BATCH, max_length=LENGTH, callbacks=[steps],
        progress=False,
    )  # fmt: skip


def t5(folder: Path) -> Path:
    """An encoder-decoder of random weights with the shipped tokenizer, about as large as the shipped model."""
    tokenizer = AutoTokenizer.from_pretrained(base_folder())
    torch.manual_seed(0)
    ends = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    shape = {"d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
    model = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), dropout_rate=0.1, **ends, **shape))
    with silence_transformers():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def run(pairs: int = 5) -> dict[str, Any]:
    """Ratios ours / bare per family; above 1 = ours is slower."""
    torch.set_num_threads(1)
    records = private_corpus(0, num_rows=ROWS, duplicates=(1, 2), num_heldout=1).train
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for family, base in (("causal", base_folder()), ("seq2seq", t5(place / "t5"))):
            plain, layered = Steps(), Steps()
            sides: tuple[Callable[[], object], Callable[[], object]] = (
                lambda f=family, b=base, s=plain: bare(f, b, records, place / f"{f}-bare", s),
                lambda f=family, b=base, s=layered: ours(b, records, place / f"{f}-ours", s),
            )
            whole = side_by_side(*sides, pairs)
            weights = {(place / f"{family}-{side}" / "model.safetensors").read_bytes() for side in ("bare", "ours")}
            ratios = [b / a for a, b in zip(plain.seconds[1:], layered.seconds[1:], strict=True)]
            told[family] = {
                "same_weights": len(weights) == 1,
                "step_ms_bare": 1000 * statistics.median(plain.seconds[1:]),
                "step_ms_ours": 1000 * statistics.median(layered.seconds[1:]),
                "step_ratio": statistics.median(ratios),
                "step_ratios": sorted(round(ratio, 3) for ratio in ratios),
                "whole_call": whole,
            }
    return told


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=2))
