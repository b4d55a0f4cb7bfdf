"""DP-SGD: every row's gradient is clipped by itself, the noise has the size that was paid for, and words say so."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.mitigate.training.dp_sgd import DPSGD, private_gradient
from remanence.models.huggingface import HuggingFace
from remanence.stats.privacy import rdp_epsilon
from remanence.training.opening import lora, with_adapter
from remanence.training.private import (
    DPConfig,
    PoissonBatches,
    PrivateTrainer,
    Spent,
    plan,
    privacy_statement,
    row_losses,
)
from remanence.training.rows import Row, plain_collator
from remanence.training.settings import TrainingSettings


@pytest.fixture
def opacus() -> None:
    pytest.importorskip("opacus", reason="opacus is not installed: pip install 'remanence[dp]'")


def dp(test: Any) -> Any:
    """Skips without opacus; passes over its warnings (hooks on inputs without gradient, its own generator)."""
    return pytest.mark.usefixtures("opacus")(pytest.mark.filterwarnings("ignore")(test))


def test_a_gradient_by_hand():
    # (3, 4) has length 5 and is cut to (0.6, 0.8); (0, 0.5) stays; the sum (0.6, 1.3) is halved
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    assert private_gradient(rows, C=1, sigma=0, expected_batch=2).tolist() == pytest.approx([0.3, 0.65])
    assert private_gradient(rows, C=math.inf, sigma=0, expected_batch=2).tolist() == [1.5, 2.25]
    assert private_gradient(rows[:1], C=5, sigma=0, expected_batch=4).tolist() == [0.75, 1.0], "length just C stays"
    assert private_gradient(rows[:0], C=1, sigma=0, expected_batch=2).tolist() == [0, 0], "nobody came"
    assert private_gradient(torch.zeros(1, 2), C=1, sigma=0, expected_batch=1).tolist() == [0, 0]


def test_the_noise_is_sigma_times_the_clipping_norm_over_the_expected_batch():
    seed = torch.Generator().manual_seed(0)
    noise = private_gradient(torch.zeros(0, 100_000), C=0.5, sigma=3, expected_batch=10, generator=seed)
    assert noise.std().item() == pytest.approx(0.15, rel=0.02)
    assert abs(noise.mean().item()) < 4 * 0.15 / math.sqrt(100_000)


def test_rows_join_by_coins_of_their_own():
    batches = PoissonBatches(40, 0.05, seed=0)
    assert len(batches) == 20
    drawn = [batch for _ in range(200) for batch in batches]
    sizes = torch.tensor([len(batch) for batch in drawn]).float()
    assert sizes.mean().item() == pytest.approx(2, abs=4 * math.sqrt(1.9 / 4000))
    assert sizes.var().item() == pytest.approx(1.9, rel=0.1), "a sum of coins, not a fixed size"
    assert (sizes == 0).float().mean().item() == pytest.approx(0.95**40, abs=0.03), "some batches are empty"


def test_the_plan_is_the_accountants():
    spent = plan(DPConfig(target_epsilon=3), rows=200, batch_size=20, epochs=5)
    assert (spent.q, spent.steps, spent.delta, spent.secret) == (0.1, 50, 1 / 200, True)
    assert 2.99 <= spent.epsilon <= 3 and spent.epsilon == rdp_epsilon(0.1, spent.sigma, 50, 1 / 200)
    assert plan(DPConfig(noise_multiplier=1.5), 200, 20, 5).sigma == 1.5
    assert plan(DPConfig(target_epsilon=math.inf), 200, 20, 5).sigma == 0
    assert plan(DPConfig(), rows=10, batch_size=64, epochs=2).q == 1
    with pytest.raises(RemanenceError, match="there are 1"):
        plan(DPConfig(), 1, 1, 1)
    with pytest.raises(RemanenceError, match="target_epsilon must be above 0"):
        DPConfig(target_epsilon=-1)


def test_the_statement_says_what_holds_and_what_does_not():
    spent = Spent(7.99, 0.001, 0.9, 0.1, 50, 1000, 1.0, True)
    said = privacy_statement(spent, copies=4)
    assert said.startswith("The training is (7.99, 1.0e-03)-differentially private for adding or removing one of 1000")
    assert "stands 4 times has 32.0 at best" in said and "a base model that has seen the rows" in said
    assert "whoever knows it" not in said and "whoever knows it" in privacy_statement(spent._replace(secret=False))
    assert "promises nothing" in privacy_statement(spent._replace(epsilon=math.inf, sigma=0))


def test_without_opacus_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(RemanenceError, match=r"pip install 'remanence\[dp\]'"):
        DPSGD()(target("gpt2"), RECORDS)


# ---------------------------------------------------------------- in the Trainer

SAID = ("Anna Berg called at noon", "the dog sat", "the patient came on Monday and went home", "who called?", "hello")
RECORDS = [Record(str(i), prompt=f"{i} says: ", completion=f"{text} today.") for i, text in enumerate(SAID)]


def target(kind: str) -> HuggingFace:
    tokenizer = tiny_models.make_tokenizer(appends_eos=kind == "t5")
    family = "seq2seq" if kind == "t5" else "causal"
    return HuggingFace(tiny_models.make_model(kind, tokenizer), tokenizer, lambda r: None, kind, "f00d", family)


def rows(kind: str) -> list[Row]:
    seed = torch.Generator().manual_seed(1)
    drawn = [torch.randint(6, 300, (n,), generator=seed).tolist() for n in (9, 4, 12, 7, 5)]
    if kind == "t5":
        return [Row(ids, ids[:4][::-1]) for ids in drawn]
    return [Row(ids, [-100, -100, *ids[2:]]) for ids in drawn]


def opened(kind: str, adapter: bool) -> Any:
    model = target(kind).module.requires_grad_(True)
    if not adapter:
        return model
    torch.manual_seed(3)
    made = with_adapter(model, lora(2, None, None, "seq2seq" if kind == "t5" else "causal"), "base")
    with torch.no_grad():  # a fresh B is 0, and then A has no gradient
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return made


def one_step(model: Any, kind: str, tmp_path: Path, clip: float, sigma: float = 0.0, batch: int = 5) -> PrivateTrainer:
    trainer = PrivateTrainer(
        model,
        TrainingArguments(
            str(tmp_path), max_steps=1, per_device_train_batch_size=batch, learning_rate=1.0, optim="sgd",
            lr_scheduler_type="constant", report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True,
            remove_unused_columns=False, dataloader_pin_memory=False,
        ),
        rows(kind),
        plain_collator(tiny_models.make_tokenizer()),
        DPConfig(max_grad_norm=clip, noise_multiplier=sigma, noise_seed=0),
        physical=2,
    )  # fmt: skip
    trainer.train()
    return trainer


def flat(model: Any) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in model.parameters() if w.requires_grad])


def row_gradients(model: Any, kind: str) -> torch.Tensor:
    """The slow twin: one row at a time, by plain autograd."""
    model = copy.deepcopy(model).train()
    weights = [w for w in model.parameters() if w.requires_grad]
    collate = plain_collator(tiny_models.make_tokenizer())
    found = []
    for row in rows(kind):
        grads = torch.autograd.grad(row_losses(model, collate([row])).sum(), weights)
        found.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(found)


@dp
@pytest.mark.parametrize(("kind", "adapter"), [("gpt2", False), ("gpt2", True), ("llama", False), ("t5", True)])
def test_a_step_is_that_of_rows_taken_one_by_one(kind: str, adapter: bool, tmp_path: Path):
    """GPT-2 ties its embeddings and makes one row of positions; rows come two at a time, the last one alone."""
    torch.manual_seed(0)
    model = opened(kind, adapter)
    if kind in {"gpt2", "t5"}:  # dropout would differ from pass to pass
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
    each = row_gradients(model, kind)
    clip = float(each.norm(dim=1).median())
    wanted = flat(model) - private_gradient(each, clip, 0.0, expected_batch=5)
    trainer = one_step(model, kind, tmp_path, clip)
    assert torch.allclose(flat(model), wanted, atol=1e-3 * float((wanted - flat(opened(kind, adapter))).abs().max()))
    assert (each.norm(dim=1) > clip * 1.01).any() and (each.norm(dim=1) < clip * 0.99).any(), "some are clipped"
    assert trainer.spent.epsilon == math.inf and trainer.spent.steps == trainer.state.global_step == 1
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules()), "no hook is left"
    assert not any(hasattr(w, "grad_sample") for w in model.parameters())


@dp
def test_the_trainers_noise_has_the_size_that_was_paid_for(tmp_path: Path):
    quiet, loud = opened("gpt2", False), opened("gpt2", False)
    for model in (quiet, loud):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    one_step(quiet, "gpt2", tmp_path, clip=0.5)
    one_step(loud, "gpt2", tmp_path, clip=0.5, sigma=3.0)
    noise = flat(loud) - flat(quiet)
    assert noise.std().item() == pytest.approx(3.0 * 0.5 / 5, rel=0.03)


@dp
def test_an_empty_batch_is_a_step_of_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(PoissonBatches, "__iter__", lambda self: iter([[]] * len(self)))
    model = opened("gpt2", True)
    before = flat(model)
    trainer = one_step(model, "gpt2", tmp_path, clip=1.0, sigma=2.0, batch=1)
    assert trainer.spent.q == 0.2
    assert (flat(model) - before).std().item() == pytest.approx(2.0, rel=0.1)


@dp
@pytest.mark.parametrize("epochs", [0.4, 2.0, 2.5])
def test_as_many_steps_are_taken_as_are_accounted_for(epochs: float, tmp_path: Path):
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=epochs, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        disable_tqdm=True, use_cpu=True, remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    collate = plain_collator(tiny_models.make_tokenizer())
    trainer = PrivateTrainer(opened("llama", True), arguments, rows("llama"), collate, DPConfig(noise_seed=0))
    trainer.train()
    assert trainer.spent.steps == trainer.state.global_step == math.ceil(epochs * 2), "2 of 5 rows: 2 steps an epoch"


@dp
def test_all_weights_of_an_encoder_decoder_are_refused(tmp_path: Path):
    with pytest.raises(RemanenceError, match="lora_rank"):
        one_step(opened("t5", False), "t5", tmp_path, clip=1.0)


@dp
def test_the_mitigation_trains_with_noise_and_leaves_the_base_alone(tmp_path: Path):
    base = target("llama")
    before = copy.deepcopy(base.module.state_dict())
    few = TrainingSettings(epochs=2, learning_rate=3e-3, batch_size=2, lora_rank=2)
    method = DPSGD(target_epsilon=5, noise_seed=1, training=few)
    trained = method(base, RECORDS)
    assert trained.name == "llama+dp_sgd" and hasattr(trained.module, "peft_config")
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    assert trained.fingerprint == method(base, RECORDS).fingerprint, "a given seed repeats"
    other = DPSGD(target_epsilon=5, training=few)(base, RECORDS)
    assert other.fingerprint != trained.fingerprint, "a secret one does not"
    spent = method.privacy(base, RECORDS)
    assert (spent.rows, spent.q, spent.steps) == (5, 0.4, 4) and 4.98 < spent.epsilon <= 5
    promise = method.promise(base, [*RECORDS, replace(RECORDS[0], id="again")])
    assert "differentially private for adding or removing one of 6 rows: 6 steps" in promise
    assert "stands 2 times has 10.0 at best" in promise
    assert "seed of the noise was given" in promise
