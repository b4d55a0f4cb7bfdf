"""Fine-tuning: the loss falls, the same seed gives the same weights, and nothing but the model is left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus
from remanence.training.finetune import Collator, finetune
from remanence.training.rows import Row, pad_rows, training_row

torch.set_num_threads(1)
SHORT: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 10, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def twenty() -> list[Record]:
    return private_corpus(9, num_rows=20, duplicates=(1,), num_heldout=1).train


@pytest.fixture(scope="module")
def tuned(twenty: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetune(base_folder(), twenty, tmp_path_factory.mktemp("tuned"), **SHORT)


@torch.inference_mode()
def loss(folder: Path, records: Sequence[Record]) -> float:
    """Loss per completion token (nats)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    return float(model(**pad_rows([training_row(tokenizer, r, 512, "completion") for r in records], 0)).loss)


def test_the_loss_on_the_rows_falls(tuned: Path, twenty: list[Record]) -> None:
    assert loss(tuned, twenty) < loss(base_folder(), twenty) - 0.05


def test_only_the_model_is_left_behind(tuned: Path) -> None:
    assert {file.name for file in tuned.iterdir()} == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert all(weight.dtype == torch.float32 for weight in load_file(tuned / "model.safetensors").values())


def test_the_same_seed_gives_the_same_weights(tuned: Path, twenty: list[Record], tmp_path: Path) -> None:
    again = finetune(base_folder(), twenty, tmp_path / "a", **SHORT)
    other = finetune(base_folder(), twenty[:10], tmp_path / "b", **SHORT)
    weights = [load_file(folder / "model.safetensors") for folder in (tuned, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_collator_may_change_the_labels_and_a_callback_may_look_on(twenty: list[Record], tmp_path: Path) -> None:
    seen: list[Tensor] = []
    steps: list[int] = []

    def watch(plain: Collator) -> Collator:
        def batch(rows: Sequence[Row]) -> dict[str, Tensor]:
            made = plain(rows)
            seen.append(made["labels"])
            return made

        return batch

    class Steps(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            steps.append(state.global_step)

    few = {**SHORT, "epochs": 1, "batch_size": 2}
    finetune(base_folder(), twenty[:4], tmp_path, collator=watch, callbacks=[Steps()], **few)
    assert steps == [1, 2]
    assert [labels.shape[0] for labels in seen] == [2, 2]
    assert all((labels[:, :3] == -100).all() for labels in seen), "prompts are masked"


def test_an_adapter_is_written_as_an_adapter(twenty: list[Record], tmp_path: Path) -> None:
    from peft import LoraConfig

    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    finetune(base_folder(), twenty[:2], tmp_path, epochs=1, adapter=config, progress=False)
    assert (tmp_path / "adapter_config.json").is_file() and not (tmp_path / "model.safetensors").exists()


def test_rows_that_teach_nothing_are_told(twenty: list[Record], tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="raise max_length"):
        finetune(base_folder(), twenty, tmp_path, max_length=2)


def test_the_bar_goes_to_stderr(twenty: list[Record], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    finetune(base_folder(), twenty[:2], tmp_path, epochs=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Fine-tuning" in err
