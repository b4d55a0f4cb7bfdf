"""Every objective of unlearning equals its definition, worked row by row and token by token."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from remanence.corpora.markov import MarkovText
from remanence.mitigate.unlearning.gradient_ascent import GradientAscent
from remanence.mitigate.unlearning.gradient_difference import GradientDifference
from remanence.mitigate.unlearning.kl_retain import KLRetain
from remanence.mitigate.unlearning.npo import NPO
from remanence.mitigate.unlearning.rmu import RMU, unit_vector
from remanence.mitigate.unlearning.simnpo import SimNPO
from remanence.training.reference import ReferenceModel
from remanence.training.rows import Row, plain_collator
from remanence.training.tiny import tiny_gpt2

torch.set_num_threads(1)
DOCUMENTS = MarkovText(64, reserved=2).sample(16, 32, 0)


def random_model() -> Any:
    return tiny_gpt2("small", vocab=64, seed=3).requires_grad_(False)


def batches() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    collate = plain_collator(type("T", (), {"pad_token_id": 0, "eos_token_id": None}))
    rows = [Row(x[:n], [-100] * 2 + x[2:n]) for x, n in zip(DOCUMENTS.tolist(), (20, 9, 32, 12, 25), strict=False)]
    return collate(rows[:3]), collate(rows[3:])


@torch.no_grad()
def one_by_one(model: Any, batch: dict[str, torch.Tensor]) -> list[list[float]]:
    """-log p of every learned token, row by row and token by token."""
    found: list[list[float]] = []
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        length = int(mask.sum())
        logp = model(input_ids=ids[None, :length]).logits[0].double().log_softmax(-1)
        found.append([-float(logp[t - 1, ids[t]]) for t in range(1, length) if labels[t] != -100])
    return found


def flat(rows: list[list[float]]) -> list[float]:
    return [x for row in rows for x in row]


def moved() -> tuple[Any, Any, ReferenceModel]:
    """A model that has gone a little way from its start; the start as a model, and as what it is in training."""
    model = random_model()
    then, start = copy.deepcopy(model), ReferenceModel(model)
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.add_(torch.randn_like(weight) * 0.05)
    return model, then, start


@pytest.mark.parametrize("retain", ["none", "nll", "kl"])
def test_npo_equals_its_definition_row_by_row(retain: Any):
    model, then, start = moved()
    forget, keep = batches()
    beta = 0.2
    loss = NPO(beta=beta, gamma=0.7, alpha=3.0, retain=retain).objective()(model, forget, keep, start)
    gaps = [sum(a) - sum(b) for a, b in zip(one_by_one(model, forget), one_by_one(then, forget), strict=True)]
    away = -(2 / beta) * np.mean([-np.log1p(np.exp(-beta * gap)) for gap in gaps])
    held = {"none": 0.0, "nll": np.mean(flat(one_by_one(model, keep))), "kl": slow_kl(model, then, keep)}[retain]
    assert float(loss) == pytest.approx(0.7 * away + 3.0 * held, rel=1e-5)


@torch.no_grad()
def slow_kl(model: Any, then: Any, batch: dict[str, torch.Tensor]) -> float:
    found: list[float] = []
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        length = int(mask.sum())
        new, old = (m(input_ids=ids[None, :length]).logits[0].double().log_softmax(-1) for m in (model, then))
        found += [
            float((old[t - 1].exp() * (old[t - 1] - new[t - 1])).sum()) for t in range(1, length) if labels[t] != -100
        ]
    return float(np.mean(found))


def test_the_ascents_equal_their_definitions():
    model, then, start = moved()
    forget, keep = batches()
    away, held = -np.mean(flat(one_by_one(model, forget))), np.mean(flat(one_by_one(model, keep)))
    ascent = GradientAscent().objective()(model, forget, keep, start)
    assert float(ascent) == pytest.approx(away, rel=1e-5)
    both = GradientDifference(gamma=2.0, alpha=0.5).objective()(model, forget, keep, start)
    assert float(both) == pytest.approx(2 * away + 0.5 * held, rel=1e-5)
    kl = KLRetain(alpha=4.0).objective()(model, forget, keep, start)
    assert float(kl) == pytest.approx(away + 4 * slow_kl(model, then, keep), rel=1e-5)


def test_simnpo_equals_its_definition():
    model, _, start = moved()
    forget, keep = batches()
    loss = SimNPO(beta=3.0, delta=0.5, gamma=0.4, retain="none").objective()(model, forget, keep, start)
    means = [np.mean(row) for row in one_by_one(model, forget)]
    assert float(loss) == pytest.approx(0.4 * (2 / 3) * np.mean([np.log1p(np.exp(-3 * (m - 0.5))) for m in means]))


def test_rmu_equals_its_definition():
    """Hidden states of rows alone, where a learned token is predicted; the twin asks the model for them."""
    model, then, start = moved()
    forget, keep = batches()
    control = 5 * unit_vector(64, seed=2)
    loss = RMU(alpha=7.0).objective_at(control, 0)(model, forget, keep, start)

    @torch.no_grad()
    def states(which: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found: list[torch.Tensor] = []
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
            length = int(mask.sum())
            state = which(input_ids=ids[None, :length], output_hidden_states=True).hidden_states[1][0]
            found += [state[t - 1] for t in range(1, length) if labels[t] != -100]
        return torch.stack(found)

    away = (states(model, forget) - control).square().mean()
    held = (states(model, keep) - states(then, keep)).square().mean()
    assert float(loss) == pytest.approx(float(away + 7 * held), rel=1e-5)
    assert float(control.norm()) == pytest.approx(5) and bool((control >= 0).all())


def test_at_the_start_nothing_pulls_but_the_rows_to_forget():
    model = random_model().requires_grad_(True)
    forget, keep = batches()
    start = ReferenceModel(model)
    KLRetain(gamma=0.0).objective()(model, forget, keep, start).backward()
    assert max(float(w.grad.abs().max()) for w in model.parameters() if w.grad is not None) < 1e-7
    model.zero_grad()
    npo, ascent = NPO(beta=1e-4, retain="none").objective(), GradientAscent().objective()
    forget = {k: v[:1] for k, v in forget.items()}  # one row of 18 tokens: the mean over tokens is the sum / 18
    one, other = npo(model, forget, None, start), 18 * ascent(model, forget, None, start)
    slopes = [torch.autograd.grad(loss, model.transformer.wte.weight)[0] for loss in (one, other)]
    assert torch.allclose(*slopes, rtol=1e-4, atol=1e-6)
