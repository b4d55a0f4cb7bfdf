"""Balls: nothing moves further than it may, and where the bound binds everywhere the optimum is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from remanence.mitigate.weights.balls import edit_report, project_l2_, project_linf_, relative_radii
from remanence.training.tiny import tiny_gpt2


def test_projections_by_hand():
    start = {"w": torch.tensor([1.0, 1.0, 1.0])}
    moved = {"w": torch.tensor([1.5, 0.9, 0.2])}
    project_linf_(moved, start, 0.25)
    assert moved["w"].tolist() == pytest.approx([1.25, 0.9, 0.75])
    # moved by (3, 4): length 5, brought back to length 1
    moved = {"w": torch.tensor([4.0, 5.0, 1.0])}
    project_l2_(moved, start, 1.0)
    assert moved["w"].tolist() == pytest.approx([1.6, 1.8, 1.0])
    project_l2_(moved, start, 1.1)  # inside already
    assert moved["w"].tolist() == pytest.approx([1.6, 1.8, 1.0])


def test_radii_relative_to_each_tensor():
    radii = relative_radii({"gain": torch.tensor([3.0, 4.0]), "fresh": torch.zeros(2)}, 0.1)
    assert radii["gain"] == pytest.approx(0.1 * math.sqrt(12.5)) and radii["fresh"] == 0.1
    moved = {"gain": torch.tensor([9.0, 4.0])}
    project_linf_(moved, {"gain": torch.tensor([3.0, 4.0])}, radii)
    assert moved["gain"].tolist() == pytest.approx([3 + radii["gain"], 4.0])


def trained(delta: float, steps: int = 60, lr: float = 0.01):
    """One linear layer that is taught one fact, projected after every step: layer, start, largest move of each step."""
    torch.manual_seed(0)
    layer, x, y = nn.Linear(5, 4, bias=False), torch.tensor([[0.5, -1.0, 2.0, 0.3, -0.7]]), torch.tensor([2])
    start = {"weight": layer.weight.detach().clone()}
    optimizer = torch.optim.Adam(layer.parameters(), lr=lr)
    trail = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(layer(x), y).backward()
        optimizer.step()
        project_linf_(dict(layer.named_parameters()), start, delta)
        trail.append(float((layer.weight.detach() - start["weight"]).abs().max()))
    return layer, start, trail, x, y


@pytest.mark.parametrize("delta", [1e-3, 1e-2, 0.05])
def test_one_linear_layer_stays_in_its_ball_and_reaches_the_closed_form(delta):
    layer, start, trail, x, y = trained(delta)
    assert max(trail) <= delta + 1e-7
    # the gradient (p - onehot) x has the same signs wherever the weights are, so the optimum is the ball's corner
    p = F.linear(x, start["weight"]).softmax(-1)
    gradient = (p - F.one_hot(y, 4)).T @ x
    assert torch.equal(layer.weight, start["weight"] - delta * gradient.sign())


def test_radius_0_is_the_start_and_an_infinite_one_plain_training():
    layer, start, *_ = trained(0.0)
    assert torch.equal(layer.weight, start["weight"])
    free, _, _, x, y = trained(math.inf)
    torch.manual_seed(0)
    plain = nn.Linear(5, 4, bias=False)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimizer.step()
    assert torch.equal(free.weight, plain.weight)


def test_every_tensor_of_a_model_stays_in_its_ball_after_every_step():
    model = tiny_gpt2("small", vocab=32)
    weights = dict(model.named_parameters())
    start = {name: p.detach().clone() for name, p in weights.items()}
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-2)
    ids = torch.randint(0, 32, (4, 12), generator=torch.Generator().manual_seed(0))
    for _ in range(4):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        project_linf_(weights, start, 3e-3)
        report = edit_report(weights, start)
        assert len(report) == len(start) and max(moved.largest for moved in report.values()) <= 3e-3 + 1e-7
    assert min(moved.changed for moved in report.values()) > 0


def test_the_report_by_hand():
    moved = edit_report({"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}, {"w": torch.tensor([1.0, 2.5, 3.0, 2.0])})["w"]
    assert moved == (2.0, 0.625, 2)
