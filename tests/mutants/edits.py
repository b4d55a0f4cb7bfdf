"""Checks of the mitigations that edit weights, each a small proof with numbers, as in `oracles`."""

from __future__ import annotations

import math

import torch


def check_sums_of_models_by_hand() -> None:
    from remanence.mitigate.weights.states import combine

    states = [{"w": torch.tensor([x])} for x in (2.0, 6.0, 10.0)]
    assert combine(states, [0.25, 0.25, 0.5])["w"].item() == 7
    same = {"w": torch.tensor([0.1], dtype=torch.float64)}
    assert torch.equal(combine([same] * 3, [1 / 3] * 3)["w"], same["w"])
    steps = [{"w": torch.tensor([1.0 + (i > 23) / 128], dtype=torch.bfloat16)} for i in range(64)]
    assert combine(steps, [1 / 64] * 64)["w"].item() == 1 + 1 / 128, "sums are made in float32"


def check_adapters_have_no_cross_terms() -> None:
    from remanence.mitigate.weights.adapters import fuse_adapters, scaled_like

    a, b = "l.lora_A.d.weight", "l.lora_B.d.weight"
    one = {a: torch.tensor([[1.0, 0.0]]), b: torch.tensor([[1.0], [0.0]])}
    two = {a: torch.tensor([[0.0, 1.0]]), b: torch.tensor([[0.0], [1.0]])}
    fused = fuse_adapters([one, two], [0.75, 0.25])
    assert torch.allclose(fused[b] @ fused[a], torch.tensor([[0.75, 0], [0, 0]])), "the closest of rank 1"
    assert scaled_like(one, {a: 4.0}, {a: 2.0})[b][0, 0].item() == 2


def check_fisher_and_ties_by_hand() -> None:
    from remanence.mitigate.weights.fusion import average_likelihood_ratio, fuse

    one, two = {"w": torch.ones(3)}, {"w": 5 * torch.ones(3)}
    fishers = [{"w": torch.tensor([2.0, 3.0, 0.0])}, {"w": torch.tensor([6.0, 3.0, 0.0])}]
    assert fuse([one, two], method="fisher", fishers=fishers)["w"].tolist() == [4, 3, 3]
    base = {"w": torch.tensor([10.0, 10.0])}
    moved = [{"w": base["w"] + torch.tensor(d)} for d in ([3.0, 0.1], [-1.0, 0.2])]
    assert fuse(moved, method="ties", base=base, density=0.5)["w"].tolist() == [13, 10]
    assert math.isclose(average_likelihood_ratio([2 - math.log(2)], [2.0]), 0.5)


def check_negation_goes_the_other_way() -> None:
    from remanence.mitigate.weights.task_vector import WeightDifference

    start, end = {"w": torch.tensor([2.0])}, {"w": torch.tensor([5.0])}
    assert WeightDifference(start, end).apply(start, -1)["w"].item() == -1
    assert (WeightDifference(start, end) - WeightDifference(end, start)).apply(start)["w"].item() == 8


def check_balls_by_hand() -> None:
    from remanence.mitigate.weights.balls import project_l2_, project_linf_, relative_radii

    start = {"w": torch.tensor([1.0, 1.0, 1.0])}
    moved = {"w": torch.tensor([1.5, 0.875, 0.0])}
    project_linf_(moved, start, 0.25)
    assert moved["w"].tolist() == [1.25, 0.875, 0.75]
    moved = {"w": torch.tensor([4.0, 5.0, 1.0])}
    project_l2_(moved, start, 2.5)
    assert torch.allclose(moved["w"], torch.tensor([2.5, 3.0, 1.0]))
    assert math.isclose(relative_radii({"w": torch.tensor([3.0, -3.0])}, 0.1)["w"], 0.3)


def check_masks_are_exact() -> None:
    from remanence.mitigate.weights.masks import count, keep_others_, parameter_attribution, topk_mask

    gradient = {"a": torch.zeros(30), "b": torch.tensor([1.0, -9.0])}
    assert count(topk_mask(gradient, 5)) == 5 and topk_mask(gradient, 1)["b"].tolist() == [False, True]
    assert parameter_attribution(gradient)["b"] == [9.0]
    now, start = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([0.1, 0.2])}
    keep_others_(now, start, {"w": torch.tensor([True, False])})
    assert now["w"].tolist() == [1.0, start["w"][1].item()]


def check_the_contrastive_objective_by_hand() -> None:
    from remanence.mitigate.weights.localized import contrastive_objective

    start, now = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 1.0]]]).log()
    loss = contrastive_objective(torch.tensor([2.0]), now, start)
    assert math.isclose(loss.item(), -0.2 + 0.143841, abs_tol=1e-5)
    edit = contrastive_objective(torch.tensor([2.0]), now, start, mode="edit")
    assert math.isclose(edit.item(), 0.343841, abs_tol=1e-5)
