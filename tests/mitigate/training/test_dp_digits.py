"""DP-SGD on digits: wrong labels planted in the data are learned by heart without noise, and not with it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from remanence.mitigate.training.dp_sgd import private_gradient
from remanence.training.private import DPConfig, PoissonBatches, plan

PLANTED = 100


class Digits(NamedTuple):
    x: Tensor
    y: Tensor
    """The first 100 labels are random."""
    test_x: Tensor
    test_y: Tensor
    out_x: Tensor
    """Like the planted ones, but never trained on."""
    out_y: Tensor


def digits(seed: int) -> Digits:
    loaded = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(loaded.target))
    x, y = torch.tensor(loaded.data[order] / 16, dtype=torch.float32), torch.tensor(loaded.target[order])
    random = torch.from_numpy(rng.integers(0, 10, 2 * PLANTED))
    train, out = slice(0, 1100), slice(1100, 1100 + PLANTED)
    labels = y[train].clone()
    labels[:PLANTED] = random[:PLANTED]
    return Digits(x[train], labels, x[1200:], y[1200:], x[out], random[PLANTED:])


def network(seed: int) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(128, 10))


def private(data: Digits, epsilon: float, seed: int) -> torch.nn.Module:
    model = network(seed)
    names, weights = zip(*model.named_parameters(), strict=True)
    spent = plan(DPConfig(epsilon, target_delta=1e-4), len(data.x), 64, 30)
    assert epsilon - 0.01 <= spent.epsilon <= epsilon

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(model, values, x[None]), y[None])

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    noise = torch.Generator().manual_seed(seed)
    batches = PoissonBatches(len(data.x), spent.q, seed)
    for _ in range(30):
        for places in batches:
            values = {name: w.detach() for name, w in zip(names, weights, strict=True)}
            if places:
                grads = torch.cat([g.flatten(1) for g in each(values, data.x[places], data.y[places]).values()], 1)
            else:
                grads = torch.zeros(0, sum(w.numel() for w in weights))
            step = private_gradient(grads, 1.0, spent.sigma, 64, noise)
            with torch.no_grad():
                for weight, part in zip(weights, step.split([w.numel() for w in weights]), strict=True):
                    weight -= 0.5 * part.view_as(weight)
    return model


def plain(data: Digits, seed: int) -> torch.nn.Module:
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng((seed, 1))
    for _ in range(120):
        for places in np.array_split(rng.permutation(len(data.x)), 17):
            F.cross_entropy(model(data.x[places]), data.y[places]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


@torch.no_grad()
def figures(model: torch.nn.Module, data: Digits) -> dict[str, float]:
    """Test accuracy, AUC of planted against never-planted by loss, share of planted labels that are given back."""
    seen = F.cross_entropy(model(data.x[:PLANTED]), data.y[:PLANTED], reduction="none")
    unseen = F.cross_entropy(model(data.out_x), data.out_y, reduction="none")
    who = np.arange(2 * PLANTED) < PLANTED
    return {
        "accuracy": (model(data.test_x).argmax(1) == data.test_y).float().mean().item(),
        "auc": float(roc_auc_score(who, -torch.cat([seen, unseen]).numpy())),
        "memorized": (model(data.x[:PLANTED]).argmax(1) == data.y[:PLANTED]).float().mean().item(),
    }


@pytest.mark.slow
def test_noise_hides_the_planted_labels_at_little_cost():
    data = digits(0)
    loud, free = figures(private(data, 8, 0), data), figures(plain(data, 0), data)
    assert free["auc"] >= 0.85 and free["memorized"] >= 0.9
    assert loud["auc"] <= 0.62 and loud["memorized"] <= 0.2
    assert loud["accuracy"] >= free["accuracy"] - 0.03
