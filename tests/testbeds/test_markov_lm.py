"""Markov language models: the cached model is the one that the plain loop trains, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remanence.corpora.markov import DuplicatedCorpus, MarkovText
from remanence.testbeds.markov_lm import DuplicatesLM, MarkovLM
from remanence.training.tiny import LEARNING_RATES, one_thread, shuffled, tiny_gpt2, token_nll, train_lm

SMALL = MarkovLM(MarkovText(vocab=32, seed=3), "small", steps=6, batch=4, length=12, seed=3)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path))


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_cached_model_is_the_one_of_the_plain_loop():
    """The loop written out, as the experiments had it before there was a cache: seed 3 for text, weights and rows."""
    text, model, rng = MarkovText(vocab=32, seed=3), tiny_gpt2("small", vocab=32, seed=3), np.random.default_rng((3, 2))
    train_lm(model, (torch.from_numpy(text.sample(4, 12, rng)) for _ in range(6)), LEARNING_RATES["small"])
    built, read = SMALL.model(), SMALL.model()
    assert same(built, model) and same(read, model)
    assert built is not read and not read.training and all(p.requires_grad for p in read.parameters())


def test_training_goes_on_from_the_cached_model_as_from_a_fresh_one():
    rows = SMALL.text.sample(16, 12, 5)
    trained = [SMALL.train(), SMALL.model()]
    for model in trained:
        train_lm(model, shuffled(rows, 4), 3e-3)
    assert same(*trained)


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, seed=4, data_seed=3),
        replace(SMALL, data_seed=4),
        replace(SMALL, text=MarkovText(vocab=32, seed=4)),
        replace(SMALL, steps=7),
    ],
)
def test_every_seed_is_its_own(other: MarkovLM):
    assert not same(SMALL.model(), other.model())


def test_the_fine_tuned_model_has_learned_the_rows_of_its_corpus():
    lm = DuplicatesLM(SMALL, background=8, targets_by_count=((1, 2), (4, 2)), held_out=5, order_seed=7, corpus_seed=1)
    corpus = DuplicatedCorpus.draw(SMALL.text, 8, {1: 2, 4: 2}, 5, 12, seed=1)
    assert np.array_equal(lm.corpus().rows, corpus.rows) and len(corpus.rows) == 8 + 2 + 8
    model = SMALL.model()
    train_lm(model, shuffled(corpus.rows, 8, 1, 7), LEARNING_RATES["small"])
    assert same(lm.model(), model)


def recited(model: Any, documents: np.ndarray, prefix: int = 16, suffix: int = 16) -> float:
    """Share of the documents whose next `suffix` tokens greedy decoding says exactly: all are the most likely next."""
    with torch.no_grad():
        likely = model(input_ids=torch.from_numpy(documents)).logits.argmax(-1).numpy()
    return float((likely[:, prefix - 1 : prefix + suffix - 1] == documents[:, prefix : prefix + suffix]).all(1).mean())


@pytest.mark.slow
def test_the_base_model_knows_the_language_and_fine_tuning_adds_the_repeated_documents():
    lm = DuplicatesLM(MarkovLM(size="small"))
    corpus, floor = lm.corpus(), MarkovText().entropy_bits() * np.log(2)
    with one_thread():
        base, tuned = lm.base.model(), lm.model()
        assert floor < token_nll(base, corpus.held_out).mean() <= 2.1
        assert recited(base, corpus.rows) == recited(base, corpus.held_out) == 0
        assert recited(tuned, corpus.held_out) == 0 and recited(tuned, corpus.targets_by_count[1]) == 0
        assert recited(tuned, corpus.targets_by_count[32]) >= 0.3


def test_rotary_positions_do_not_depend_on_the_offset():
    """With rotary positions the prediction after two tokens is the same wherever the two stand."""
    model = replace(SMALL, positions="rotary").model()
    ids = torch.tensor([[5, 6]])
    with torch.no_grad():
        here = model(input_ids=ids, position_ids=torch.tensor([[0, 1]])).logits
        there = model(input_ids=ids, position_ids=torch.tensor([[20, 21]])).logits
    assert torch.allclose(here, there, atol=1e-5)
