"""Between epochs: checkpoints that can be audited, a look at the live model that changes nothing, dropout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.load import load_model
from remanence.training.finetune import finetune
from remanence.training.opening import dropout_names

torch.set_num_threads(1)
ROWS = [Record(str(i), text=text) for i, text in enumerate(tiny_models.CORPUS)]
SHORT: dict[str, Any] = {"epochs": 3, "learning_rate": 3e-3, "batch_size": 2, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_model(tmp_path_factory.mktemp("base") / "gpt2", "gpt2")


@pytest.fixture(scope="module")
def plain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained without anybody looking; GPT-2 drops out, so the training draws random numbers."""
    return finetune(base, ROWS, tmp_path_factory.mktemp("plain"), **SHORT)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_every_epoch_leaves_a_model_and_the_last_is_the_result(base: Path, plain: Path, tmp_path: Path) -> None:
    out = finetune(base, ROWS, tmp_path, save_epochs=True, **SHORT)
    folders = sorted((out / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["epoch-001", "epoch-002", "epoch-003"]
    assert weights(folders[2]) == weights(out) == weights(plain)
    assert len({weights(folder) for folder in folders}) == 3
    assert load_model(folders[0]).tokenizer("cat")["input_ids"] == load_model(base).tokenizer("cat")["input_ids"]


def test_a_look_at_the_live_model_changes_nothing(base: Path, plain: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    steps: list[bool] = []

    def look(epoch: int, model: Any) -> None:
        seen.append((epoch, model.training))
        torch.rand(7)

    class Steps(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            steps.append(model.training)

    out = finetune(base, ROWS, tmp_path, on_epoch=look, callbacks=[Steps()], **SHORT)
    assert seen == [(1, False), (2, False), (3, False)]
    assert len(steps) == 9 and all(steps[1:]), "5 rows in batches of 2: three steps an epoch, back in train mode"
    assert weights(out) == weights(plain)


def test_an_unfinished_epoch_is_no_checkpoint(base: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    finetune(base, ROWS, tmp_path, on_epoch=lambda n, _: seen.append(n), **{**SHORT, "epochs": 1.4})
    assert seen == [1]


def test_every_dropout_probability_is_set(base: Path, plain: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(epoch: int, model: Any) -> None:
        seen.append({m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)})

    out = finetune(base, ROWS, tmp_path, dropout=0.25, on_epoch=look, **SHORT)
    assert seen == [{0.25}] * 3
    config = load_model(out).model.config
    assert config.resid_pdrop == config.attn_pdrop == config.embd_pdrop == 0.25
    assert weights(out) != weights(plain)


def test_which_entries_are_dropout() -> None:
    config = {
        "dropout": 0.1,
        "attn_pdrop": 0,
        "encoder_layerdrop": 0.1,
        "classifier_dropout": None,
        "use_dropout": True,
    }
    assert dropout_names(config) == ["attn_pdrop", "dropout"]


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_an_impossible_dropout_is_refused(base: Path, tmp_path: Path, dropout: float) -> None:
    with pytest.raises(RemanenceError, match="dropout= must be at least 0 and below 1"):
        finetune(base, ROWS, tmp_path, dropout=dropout)


def test_an_adapter_of_a_rank_and_its_checkpoints(base: Path, tmp_path: Path) -> None:
    out = finetune(base, ROWS, tmp_path, lora_rank=2, save_epochs=True, **SHORT)
    files = {file.name for file in (out / "checkpoints" / "epoch-001").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    assert "README.md" not in files and "model.safetensors" not in files
    first, last = load_model(out / "checkpoints" / "epoch-001"), load_model(out)
    assert first.fingerprint != last.fingerprint and first.base == str(base)


def test_an_adapter_is_no_base_and_two_adapters_are_one_too_many(base: Path, tmp_path: Path) -> None:
    adapter = tiny_models.save_adapter(tmp_path / "adapter", base)
    with pytest.raises(RemanenceError, match="merge it"):
        finetune(adapter, ROWS, tmp_path / "out")
    with pytest.raises(RemanenceError, match="one of the two"):
        finetune(base, ROWS, tmp_path / "out", lora_rank=2, adapter=object(), progress=False)
    with pytest.raises(RemanenceError, match="at least 1"):
        finetune(base, ROWS, tmp_path / "out", lora_rank=0, progress=False)
