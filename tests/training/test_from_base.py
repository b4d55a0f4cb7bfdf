"""Training again: the base stays, held-out rows are not trained on, and what comes back can be opened as saved."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer
from remanence.training.from_base import finetune_from_base, training_records, training_rows
from remanence.training.settings import FinetuneSettings

RECORDS = [Record(str(i), prompt=f"Day {i}: ", completion=f"the cat sat on log {i}") for i in range(4)]
SHORT = FinetuneSettings(epochs=2, learning_rate=3e-3, batch_size=2)


@pytest.fixture(scope="module", params=["llama", "t5"])
def base(request: pytest.FixtureRequest) -> HuggingFace:
    kind = request.param
    tokenizer = tiny_models.make_tokenizer(appends_eos=kind == "t5")
    renderer = Renderer(tokenizer, seq2seq=kind == "t5")
    family = "seq2seq" if kind == "t5" else "causal"
    return HuggingFace(tiny_models.make_model(kind, tokenizer), tokenizer, renderer, kind, "f00d", family)


def test_the_base_stays_and_the_loss_falls(base: HuggingFace):
    before = copy.deepcopy(base.module.state_dict())
    logs: list[Any] = []
    made: Any = finetune_from_base(base, RECORDS, "again", SHORT, on_trainer=logs.append)
    assert (made.name, made.family) == (f"{base.name}+again", base.family) and made.fingerprint != "f00d"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    assert not any(p.requires_grad for p in made.module.parameters()) and not made.module.training
    losses = [line["loss"] for line in logs[0].state.log_history if "loss" in line]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_held_out_rows_are_not_trained_on(base: HuggingFace):
    held = Record("x", prompt="Day 9: ", completion="the dog sat", group="heldout")
    assert training_records([held, *RECORDS]) == RECORDS
    made = finetune_from_base(base, [held, *RECORDS], "again", SHORT)
    assert made.fingerprint == finetune_from_base(base, RECORDS, "again", SHORT).fingerprint
    with pytest.raises(RemanenceError, match="raise max_length"):
        finetune_from_base(base, [held], "again", SHORT)


@pytest.mark.parametrize("rank", [None, 2])
def test_what_is_saved_is_what_came_back(base: HuggingFace, rank: int | None, tmp_path: Path):
    settings = FinetuneSettings(epochs=1, learning_rate=3e-3, lora_rank=rank)
    base.module.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    made: Any = finetune_from_base(base, RECORDS, "again", settings, out=tmp_path / "out")
    opened = load_model(tmp_path / "out", base=tmp_path / "base" if rank else None)
    assert opened.fingerprint == made.fingerprint and hasattr(opened.model, "peft_config") == bool(rank)
    weights = opened.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in made.module.state_dict().items())
    with pytest.raises(RemanenceError, match="out is not empty"):
        finetune_from_base(base, RECORDS, "again", settings, out=tmp_path / "out")


def test_rows_are_read_as_training_reads_them(base: HuggingFace):
    rows = training_rows(base, [*RECORDS, Record("empty", prompt="Day 8: ", completion="")], SHORT)
    assert len(rows) == 4
    said = base.tokenizer.decode([i for i in rows[1].labels if i != -100], skip_special_tokens=True)
    assert said.strip() == "the cat sat on log 1"


def test_what_cannot_be_trained_is_named():
    with pytest.raises(RemanenceError, match="again fine-tunes the base model again, and parrot cannot be fine-tuned"):
        finetune_from_base(Parrot(), RECORDS, "again", SHORT)  # type: ignore[arg-type]
