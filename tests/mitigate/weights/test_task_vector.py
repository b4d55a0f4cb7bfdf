"""Task vectors: differences of models that add up, stretch, and can be taken away again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.task_vector import WeightDifference


def state(seed: int):
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(4, 3, generator=generator), "b": torch.randn(3, generator=generator)}


def test_arithmetic_by_hand():
    zero, two, five = ({"w": torch.tensor([x])} for x in (0.0, 2.0, 5.0))
    learned, other = WeightDifference(two, five), WeightDifference(zero, two)
    assert learned.apply(two)["w"].item() == 5
    assert learned.apply(zero, -1)["w"].item() == -3
    assert (learned + other).apply(zero)["w"].item() == 5
    assert (learned - other).apply(zero)["w"].item() == 1
    assert (0.5 * learned * 2).apply(zero)["w"].item() == 3
    assert (-learned).apply(five)["w"].item() == 2


def test_the_whole_way_back_is_the_base_model():
    base, start = state(0), state(1)
    back = WeightDifference(base, start).apply(start, -1.0)  # theta_start - 1 (theta_start - theta_0)
    assert all(torch.allclose(back[name], base[name], atol=1e-6) for name in base)


def test_no_way_at_all_changes_no_bit():
    start = state(1)
    same = WeightDifference(state(0), start).apply(start, 0.0)
    assert all(torch.equal(same[name], start[name]) for name in start)


def test_a_live_model_is_changed_in_place():
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = WeightDifference(one.state_dict(), two.state_dict())
    expected = one.weight + 0.5 * (two.weight - one.weight)
    vector.apply_to(one, 0.5)
    assert torch.allclose(one.weight, expected, atol=1e-7)


def test_integers_have_no_direction():
    a, b = {"n": torch.tensor(3), "w": torch.zeros(1)}, {"n": torch.tensor(9), "w": torch.ones(1)}
    assert WeightDifference(a, b).apply(a)["n"].item() == 3


def test_models_of_another_shape_are_refused():
    with pytest.raises(RemanenceError, match="such as w"):
        WeightDifference({"w": torch.zeros(2)}, {"w": torch.zeros(3)})
