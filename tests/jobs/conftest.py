"""Tiny models that learned a few rows by heart, built once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
sys.path.insert(0, str(Path(__file__).parent))

import memorizers
import tiny_models


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with a chat template: the base model."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = tiny_models.make_tokenizer(chat_template=tiny_models.MARKED_TEMPLATE)
    return tiny_models.save_model(folder, "llama", tokenizer=tokenizer)


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, llama: Path) -> Path:
    """That Llama after it learned `memorizers.LEARNED` by heart."""
    return memorizers.overfit(llama, tmp_path_factory.mktemp("models") / "tuned", memorizers.LEARNED)
