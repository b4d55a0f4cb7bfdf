"""Tiny models for the tests of this folder, built once per session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama and its tokenizer."""
    return tiny_models.save_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random GPT-2 and its tokenizer."""
    return tiny_models.save_model(tmp_path_factory.mktemp("models") / "gpt2", "gpt2")


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random T5 and a tokenizer that ends texts with EOS."""
    return tiny_models.save_model(tmp_path_factory.mktemp("models") / "t5", "t5")


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BART and a tokenizer that ends texts with EOS."""
    return tiny_models.save_model(tmp_path_factory.mktemp("models") / "bart", "bart")


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A folder with a LoRA adapter on `tiny_llama`."""
    return tiny_models.save_adapter(tmp_path_factory.mktemp("models") / "adapter", tiny_llama)
