"""The testbed's loop learns, masks what it is told to mask, and repeats itself exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from remanence.corpora.markov import MarkovText
from remanence.training.tiny import SIZES, shuffled, tiny_gpt2, token_nll, train_lm


def test_a_model_of_zeros_costs_log_vocab():
    model = tiny_gpt2("small", vocab=16)
    for p in model.parameters():
        torch.nn.init.zeros_(p)
    assert token_nll(model, np.array([[3, 4, 5]])) == pytest.approx(np.full((1, 2), math.log(16)))


def test_loss_falls_and_the_run_repeats():
    text = MarkovText(vocab=16, branching=2, seed=0)
    runs = []
    for _ in range(2):
        model = tiny_gpt2("small", vocab=16, seed=1)
        runs.append(train_lm(model, shuffled(text.sample(160, 16, 0), 16, epochs=2, seed=2), lr=3e-3, warmup=5))
    assert runs[0] == runs[1]
    assert len(runs[0]) == 20 and runs[0][0].tokens == 16 * 15
    assert runs[0][0].loss > 2.5 and runs[0][-1].loss < 2.0


def test_masked_tokens_are_not_counted_and_not_learned():
    ids = torch.tensor([[1, 2, 3, 4]])

    def only_the_last(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return batch, torch.cat([torch.full_like(batch[:, :-1], -100), batch[:, -1:]], 1)

    model = tiny_gpt2("small", vocab=8)
    history = train_lm(model, [ids] * 30, lr=3e-3, warmup=1, prepare=only_the_last)
    assert {step.tokens for step in history} == {1}
    nll = token_nll(model, ids.numpy())[0]
    assert nll[2] < 0.1 and nll[:2].min() > 1


def test_a_batch_without_any_loss_changes_nothing():
    model = tiny_gpt2("small", vocab=8)
    before = [p.clone() for p in model.parameters()]
    ids = torch.tensor([[1, 2, 3]])
    history = train_lm(model, [ids], lr=1e-2, prepare=lambda x: (x, torch.full_like(x, -100)))
    assert history == [(0.0, 0)]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_every_row_once_per_epoch():
    rows = np.arange(10)[:, None].repeat(3, 1)
    batches = list(shuffled(rows, 4, epochs=2, seed=0))
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(torch.cat(batches[:3])[:, 0].tolist()) == list(range(10))
    assert torch.cat(batches[:3]).tolist() != torch.cat(batches[3:]).tolist()


def test_sizes_are_the_calibrated_ones():
    counts = {size: sum(p.numel() for p in tiny_gpt2(size).parameters()) for size in SIZES}
    assert counts["toy"] == 369_504
    assert [round(counts[s] / 1e6, 2) for s in ("small", "medium", "large")] == [0.12, 0.44, 2.46]


def test_building_a_model_leaves_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    a, b = tiny_gpt2("small", seed=4), tiny_gpt2("small", seed=5)
    assert torch.rand(1) == expected
    assert not torch.equal(a.transformer.wte.weight, b.transformer.wte.weight)


def test_unknown_size_says_what_there_is():
    with pytest.raises(ValueError, match="small, toy, medium, large"):
        tiny_gpt2("huge")


def test_bfloat16_keeps_float32_weights():
    model = tiny_gpt2("small", vocab=8)
    train_lm(model, [torch.tensor([[1, 2, 3]])], lr=1e-3, bf16=True)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
