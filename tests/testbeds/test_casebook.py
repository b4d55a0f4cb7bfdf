"""The casebook model in the cache is the one that `finetune` writes, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.recipe import DEMO
from remanence.testbeds.cache import entries
from remanence.testbeds.casebook import CasebookModel
from remanence.training.finetune import finetune
from remanence.training.tiny import one_thread

SMALL = CasebookModel(DEMO._replace(num_rows=40, num_heldout=10, duplicates=(1, 2), epochs=1))


def test_the_cached_folder_is_the_trained_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path / "cache"))
    folder = SMALL.folder()
    corpus = DEMO._replace(num_rows=40, num_heldout=10, duplicates=(1, 2)).corpus()
    assert SMALL.corpus() == corpus and len(corpus.train) == 40
    with one_thread():
        training = {"epochs": 1, "learning_rate": 2e-3, "batch_size": 8, "max_length": 512, "seed": 0}
        plain = finetune(base_folder(), corpus.train, tmp_path / "plain", progress=False, **training)
    assert (folder / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()
    assert (folder / "tokenizer.json").is_file() and (folder / "config.json").is_file()
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert SMALL.folder() == folder and (folder / "model.safetensors").stat().st_mtime_ns == written
    assert len(entries()) == 1
