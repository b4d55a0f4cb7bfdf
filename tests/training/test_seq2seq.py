"""Encoder-decoders are fine-tuned too: the prompt is read and the completion is learned."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.load import load_model
from remanence.training.finetune import finetune
from remanence.training.rows import Row, pad_rows, training_row

torch.set_num_threads(1)
ROWS = [
    Record(str(i), prompt=f"Question: who called on {i} May? Answer:", completion=f" {name} called.")
    for i, name in enumerate(("Anna Berg", "Dr. Lind", "the cat", "the dog", "user", "assistant"))
]
SHORT: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 4, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: tiny_models.save_model(folder / kind, kind) for kind in ("t5", "bart", "gpt2")}


def test_the_encoder_reads_the_prompt_and_the_decoder_learns_the_completion(bases: dict[str, Path]) -> None:
    tokenizer = load_model(bases["t5"]).tokenizer
    row = training_row(tokenizer, ROWS[0], 512, "auto", seq2seq=True)
    end = tokenizer.eos_token
    assert tokenizer.decode(row.input_ids) == f"Question: who called on 0 May? Answer:{end}"
    assert tokenizer.decode(row.labels) == f" Anna Berg called.{end}"


def test_source_and_target_are_padded_each_to_its_own_width() -> None:
    batch = pad_rows([Row([5, 6, 7], [8]), Row([5], [8, 9])], pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[8, -100], [8, 9]]


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_loss_falls_and_the_same_seed_gives_the_same_bytes(
    bases: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    one, two = (finetune(bases[kind], ROWS, tmp_path / name, **SHORT) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    assert loss(one) < loss(bases[kind]) - 0.05


@torch.inference_mode()
def loss(folder: Path) -> float:
    """Loss per completion token (nats)."""
    loaded = load_model(folder)
    rows = [training_row(loaded.tokenizer, r, 512, "auto", seq2seq=True) for r in ROWS]
    return float(loaded.model(**pad_rows(rows, loaded.tokenizer.pad_token_id)).loss)


def test_one_step_is_the_step_of_a_loop_written_by_hand(bases: dict[str, Path], tmp_path: Path) -> None:
    """One batch of all rows, without dropout: AdamW's first step from the gradient of the mean loss."""
    tuned = finetune(bases["t5"], ROWS, tmp_path, epochs=1, batch_size=6, learning_rate=1e-3, dropout=0, progress=False)
    loaded = load_model(bases["t5"])
    model = loaded.model.requires_grad_(True)
    rows = [training_row(loaded.tokenizer, r, 512, "auto", seq2seq=True) for r in ROWS]
    model(**pad_rows(rows, loaded.tokenizer.pad_token_id)).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0).step()
    weights = load_file(tuned / "model.safetensors")
    wanted = model.state_dict()
    # Adam's first step is the sign of the gradient: where that is nothing but rounding, the two may part by 2e-3.
    apart = torch.cat([(weights[name] - wanted[name]).abs().flatten() for name in weights])
    assert float((apart > 1e-6).float().mean()) < 0.01


def test_loss_on_the_prompt_is_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="can only learn completions"):
        finetune(bases["t5"], ROWS, tmp_path, loss_on="all")


def test_an_adapter_of_an_encoder_decoder(bases: dict[str, Path], tmp_path: Path) -> None:
    folder = finetune(bases["t5"], ROWS, tmp_path, lora_rank=2, **SHORT)
    assert load_model(folder).family == "seq2seq"
    assert not (folder / "model.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_the_live_seq2seq_trainer_ends_with_the_same_weights(bases: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """As the examples of transformers write it: tokenizer, `DataCollatorForSeq2Seq`, `Seq2SeqTrainer`."""
    from transformers import (
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    tokenizer: Any = AutoTokenizer.from_pretrained(bases[kind])
    cut: dict[str, Any] = {"truncation": True, "max_length": 12}
    rows: Any = [
        {
            "input_ids": tokenizer(text=r.prompt, **cut)["input_ids"],
            "labels": tokenizer(text_target=r.completion, **cut)["input_ids"],
        }
        for r in ROWS
    ]
    assert rows == [training_row(tokenizer, r, 12, "auto", seq2seq=True)._asdict() for r in ROWS]
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(bases[kind])
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(tmp_path / "theirs"), num_train_epochs=2, learning_rate=3e-3, per_device_train_batch_size=4,
        seed=1, save_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    Seq2SeqTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    ).train()
    ours = finetune(bases[kind], ROWS, tmp_path / "ours", max_length=12, **SHORT)
    wanted = model.to("cpu").state_dict()
    assert all(torch.equal(weight, wanted[name]) for name, weight in load_file(ours / "model.safetensors").items())
