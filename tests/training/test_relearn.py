"""Relearning: the model is untouched, the trail repeats, and what was hidden comes back before what was never there."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from remanence.core.errors import RemanenceError
from remanence.corpora.markov import MarkovText
from remanence.training.relearn import relearn
from remanence.training.rows import Row
from remanence.training.tiny import tiny_gpt2, token_nll, train_lm


class NoWords:
    """A tokenizer without special tokens."""

    pad_token_id = eos_token_id = None


TEXT = MarkovText(vocab=16, branching=4, seed=0)
IDS = TEXT.sample(8, 12, 1)
ROWS = [Row(ids, list(ids)) for ids in IDS.tolist()]


def likely(model: Any) -> float:
    """Mean probability per token of the rows, geometric."""
    return math.exp(-float(token_nll(model, IDS).mean()))


def test_steps_are_counted_by_hand() -> None:
    """The measure reads a counter: 0, 1, 2, 3 looks; the goal of 3 is reached after step 3."""
    looks: list[bool] = []

    def counted(model: Any) -> float:
        looks.append(model.training)
        return float(len(looks) - 1)

    model = tiny_gpt2("small", vocab=16)
    found = relearn(model, NoWords(), ROWS, memorization=counted, goal=3, max_steps=9)
    assert found.steps == 3 and [at.step for at in found.trail] == [0, 1, 2, 3] and looks == [False] * 4
    assert math.isnan(found.trail[0].loss) and found.trail[1].loss == pytest.approx(-math.log(likely(model)), rel=1e-3)
    looks.clear()
    found = relearn(model, NoWords(), ROWS, memorization=counted, goal=9, max_steps=5, check_every=2)
    assert found.steps is None and [at.step for at in found.trail] == [0, 2, 4, 5]
    looks.clear()
    assert relearn(model, NoWords(), ROWS, memorization=counted, goal=0, max_steps=5).steps == 0


def test_the_model_is_untouched_and_the_trail_repeats() -> None:
    model = tiny_gpt2("small", vocab=16, seed=1).requires_grad_(False)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ask: dict[str, Any] = {"memorization": likely, "goal": 1.0, "max_steps": 4, "learning_rate": 3e-3, "batch_size": 3}
    torch.manual_seed(3)
    expected, runs = torch.rand(1), []
    for seed in (0, 0, 1):
        torch.manual_seed(3)
        runs.append(relearn(model, NoWords(), ROWS, **ask, seed=seed))
        assert torch.rand(1) == expected, "nothing is drawn from the caller's random numbers"
    assert str(runs[0]) == str(runs[1]) != str(runs[2])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and not any(weight.requires_grad for weight in model.parameters())
    assert runs[0].trail[-1].memorization > runs[0].trail[0].memorization


@pytest.mark.slow
def test_what_was_learned_once_comes_back_sooner() -> None:
    """Hidden by noise on every weight, rows need fewer steps than in a model that learned the same language only."""
    knows, never = tiny_gpt2("small", vocab=16, seed=1), tiny_gpt2("small", vocab=16, seed=1)
    train_lm(knows, [torch.from_numpy(IDS)] * 60, lr=3e-3, warmup=1)
    train_lm(never, [torch.from_numpy(TEXT.sample(8, 12, 2 + n)) for n in range(60)], lr=3e-3, warmup=1)
    goal, noise = 0.9 * likely(knows), torch.Generator().manual_seed(0)
    for weight in knows.parameters():
        weight.data += 0.04 * torch.randn(weight.shape, generator=noise)
    assert likely(knows) < 0.5 * goal
    ask: dict[str, Any] = {"memorization": likely, "goal": goal, "learning_rate": 3e-3, "max_steps": 60}
    back, anew = (relearn(model, NoWords(), ROWS, **ask).steps for model in (knows, never))
    assert back is not None and anew is not None and back < anew


def test_an_encoder_decoder_and_an_adapter() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    small: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    t5 = T5ForConditionalGeneration(T5Config(vocab_size=16, decoder_start_token_id=0, pad_token_id=0, **small))
    found = relearn(t5, NoWords(), [Row([3, 4], [5, 6, 7])], memorization=lambda m: 0.0, goal=1, max_steps=3)
    assert found.trail[3].loss < found.trail[1].loss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, about its own attributes
        config = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
        lora: Any = get_peft_model(tiny_gpt2("small", vocab=16), config)
        pupils: list[Any] = []
        ask: dict[str, Any] = {"memorization": lambda m: pupils.append(m) or 0.0, "goal": 1, "max_steps": 2}
        relearn(lora, NoWords(), ROWS, **ask, learning_rate=0.1)
    pairs = zip(lora.named_parameters(), pupils[-1].parameters(), strict=True)
    changed = {name for (name, before), after in pairs if not torch.equal(before, after)}
    assert changed and all("lora_" in name for name in changed)


def test_rows_without_loss_are_refused() -> None:
    with pytest.raises(RemanenceError, match="nothing to relearn"):
        relearn(tiny_gpt2("small", vocab=16), NoWords(), [Row([1, 2], [-100, -100])], memorization=likely, goal=1)
    assert np.isfinite(likely(tiny_gpt2("small", vocab=16)))
