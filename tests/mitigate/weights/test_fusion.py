"""Fusion: means of weights, of what they depend on, of what has moved; and what a user gets of it."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.fusion import (
    average_likelihood_ratio,
    fuse,
    interpolation_path,
    likelihood_ratios,
)
from remanence.mitigate.weights.merging import fisher_diagonal


def states(m: int, shape=(4, 3)):
    return [{"weight": torch.randn(shape, generator=torch.Generator().manual_seed(s))} for s in range(m)]


def test_the_mean_by_hand():
    # base + mean of what each learned: 1 + (3 + 0 - 1.5) / 3 = 1.5
    learned = [{"w": torch.tensor([1 + d])} for d in (3.0, 0.0, -1.5)]
    assert fuse(learned)["w"].item() == pytest.approx(1.5)
    assert fuse(learned, [1, 0, 1])["w"].item() == pytest.approx(1.75)


def test_fused_linear_models_average_their_logits():
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(9))
    models = states(3)
    each = torch.stack([F.linear(x, state["weight"]) for state in models])
    assert torch.allclose(F.linear(x, fuse(models)["weight"]), each.mean(0), atol=1e-6)


def test_fisher_weights_by_hand():
    # the first weight matters to model 1 only, the second to both alike, the third to nobody
    one, two = {"w": torch.tensor([1.0, 1.0, 1.0])}, {"w": torch.tensor([5.0, 5.0, 5.0])}
    fishers = [{"w": torch.tensor([2.0, 3.0, 0.0])}, {"w": torch.tensor([0.0, 3.0, 0.0])}]
    assert fuse([one, two], method="fisher", fishers=fishers)["w"].tolist() == [1.0, 3.0, 3.0]
    # alpha 3 : 1 and F 1 : 3 weigh the same
    fishers = [{"w": torch.ones(3)}, {"w": 3 * torch.ones(3)}]
    assert fuse([one, two], [3, 1], "fisher", fishers=fishers)["w"].tolist() == [3.0, 3.0, 3.0]


def test_fisher_diagonal_is_the_mean_of_squared_gradients():
    # loss (w x)^2 / 2 has the gradient w x^2: at w = 2, x = 1 and 3 it is 2 and 18
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 2.0)
    losses = [lambda x=x: layer(torch.tensor([x])).square().sum() / 2 for x in (1.0, 3.0)]
    assert fisher_diagonal(layer, losses)["weight"].item() == pytest.approx((4 + 324) / 2)


def slow_ties(base, models, alpha, density):
    """Trim, elect, merge: one weight at a time, in Python."""
    changes = []
    for model in models:
        flat = (model - base).flatten().tolist()
        keep = sorted(range(len(flat)), key=lambda i: -abs(flat[i]))[: int(density * len(flat))]
        changes.append([x if i in keep else 0.0 for i, x in enumerate(flat)])
    merged = []
    for place, start in enumerate(base.flatten().tolist()):
        column = [change[place] for change in changes]
        sign = 1 if sum(column) >= 0 else -1
        agree = [(a, x) for a, x in zip(alpha, column, strict=True) if x and math.copysign(1, x) == sign]
        merged.append(start + (sum(a * x for a, x in agree) / (len(agree) / len(models)) if agree else 0.0))
    return torch.tensor(merged).view(base.shape)


def test_ties_equals_its_slow_twin():
    base, *models = [state["weight"] for state in states(4, (6, 5))]
    for alpha in ([1 / 3] * 3, [0.5, 0.3, 0.2]):
        fused = fuse([{"w": m} for m in models], alpha, "ties", base={"w": base}, density=0.4)["w"]
        assert torch.allclose(fused, slow_ties(base, models, alpha, 0.4), atol=1e-6)
    one = fuse([{"w": models[0]}], method="ties", base={"w": base}, density=0.999999)["w"]
    assert int((~one.isclose(models[0], atol=1e-6)).sum()) == 1  # 29 of 30 changes are kept


def test_what_a_method_lacks_is_said():
    two = states(2)
    with pytest.raises(RemanenceError, match="Fisher diagonal of every model"):
        fuse(two, method="fisher")
    with pytest.raises(RemanenceError, match="give base"):
        fuse(two, method="ties")
    with pytest.raises(RemanenceError, match="between 0 and 1, got 1"):
        fuse(two, method="ties", base=two[0], density=1.0)
    with pytest.raises(RemanenceError, match="0 and more"):
        fuse(two, [1.5, -0.5])


def test_the_path_ends_at_both_models_and_leaves_the_live_one():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    live = copy.deepcopy(one)
    path = interpolation_path(live, one.state_dict(), two.state_dict(), lambda m: m.weight.detach().clone(), steps=5)
    assert [point.c for point in path] == [0, 0.25, 0.5, 0.75, 1]
    assert torch.equal(path[0].value, one.weight) and torch.allclose(path[-1].value, two.weight, atol=1e-7)
    assert torch.allclose(path[2].value, (one.weight + two.weight) / 2, atol=1e-7)
    assert torch.equal(live.weight, one.weight)


def test_likelihood_ratio_by_hand():
    # log 2 nats less than the base model means twice as likely a token: 1/2; as likely: 1
    assert likelihood_ratios([2 - np.log(2), 3.0], [2.0, 3.0]).tolist() == pytest.approx([0.5, 1.0])
    assert average_likelihood_ratio([2 - np.log(2), 3.0], [2.0, 3.0]) == pytest.approx(0.75)
