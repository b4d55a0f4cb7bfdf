"""`base="disabled"`: the adapter switched off stands for the base model only if it is that model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import pytest
import tiny_models
import torch
from test_callback import SHORT, hf

from remanence import AuditCallback
from remanence.core.errors import RemanenceError
from remanence.models.load import load_model


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers for an old name
        warnings.filterwarnings("ignore", "fan_in_fan_out")
        yield


def behind(folder: Path, kind: str, named: bool = True, **config: Any) -> Any:
    """A model that has learned its rows a little, behind an adapter that was trained elsewhere."""
    from peft import LoraConfig, get_peft_model

    base = tiny_models.save_model(folder / "base", kind)
    net = load_model(base).model
    adapter = LoraConfig(r=2, init_lora_weights=False, task_type="CAUSAL_LM", **config)
    torch.manual_seed(0)
    model = get_peft_model(net, adapter)
    model.peft_config["default"].base_model_name_or_path = str(base) if named else None
    return model


def test_over_base_compares_with_the_adapter_off_not_with_the_start(tmp_path: Path) -> None:
    """The verdicts of the base model, taken by a callback on the base model itself, are the ones compared with."""
    alone = AuditCallback(**SHORT)
    base = tiny_models.save_model(tmp_path / "plain" / "base", "llama")
    hf(tmp_path / "alone", [alone], net=load_model(base).model.requires_grad_(True), max_steps=1).train()
    callback = AuditCallback(base="disabled", **SHORT)
    hf(tmp_path, [callback], net=behind(tmp_path, "llama"), num_train_epochs=3).train()
    assert callback._start == alone.curve[0].rows
    last = callback.curve[-1]
    changed = sum(int(now) - int(was) for now, was in zip(last.rows, callback._start, strict=True))
    assert last.over_base == pytest.approx(changed / 8)


def test_a_base_that_was_changed_beneath_the_adapter_is_refused(tmp_path: Path) -> None:
    """An adapter trained with bias="all" and taken up again: its biases stay on when it is off."""
    model = behind(tmp_path, "gpt2", bias="all")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight += 0.3
    trainer = hf(tmp_path, [AuditCallback(base="disabled", **SHORT)], "gpt2", net=model)
    with pytest.raises(RemanenceError, match=r"the model is not base: .*bias='all', which stays"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_without_a_base_to_open_trained_biases_are_refused_by_their_flags(tmp_path: Path) -> None:
    trainer = hf(
        tmp_path, [AuditCallback(base="disabled", **SHORT)], "gpt2", net=behind(tmp_path, "gpt2", False, bias="all")
    )
    with pytest.raises(RemanenceError, match="names no base model that can be opened"):
        trainer.train()
    healthy = AuditCallback(base="disabled", **SHORT)
    hf(tmp_path / "b", [healthy], net=behind(tmp_path / "b", "llama", False), max_steps=1).train()
    assert healthy.curve[-1].over_base is not None
