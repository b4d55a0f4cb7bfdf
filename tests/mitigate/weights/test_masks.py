"""Masks: the gradient says where, the count is exact, and everything else stays as it was to the bit."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.localized import contrastive_objective, sparse_finetune
from remanence.mitigate.weights.masks import (
    block_matrices,
    count,
    gradients,
    head_split,
    keep_others_,
    parameter_attribution,
    random_mask,
    topk_mask,
)
from remanence.training.tiny import tiny_gpt2

IDS = torch.randint(0, 32, (3, 10), generator=torch.Generator().manual_seed(0))


def matrices(model):
    named = dict(model.named_parameters())
    return {name: named[name] for name in block_matrices(model, named)}


def nll(model, ids=IDS):
    logits = model(input_ids=ids).logits[:, :-1]
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none").mean(1)


def test_attribution_by_hand():
    gradient = {"a": torch.tensor([[1.0, -4.0]]), "b": torch.tensor([2.0, 3.0])}
    assert parameter_attribution(gradient) == {"a": [4.0], "b": [3.0]}
    assert parameter_attribution(gradient, "share") == {"a": [0.5], "b": [0.5]}


def test_attribution_equals_finite_differences():
    model = tiny_gpt2("small", vocab=32).double()
    weights = matrices(model)
    g = gradients(nll(model).sum(), weights)
    generator, h = torch.Generator().manual_seed(1), 1e-5
    names = sorted(weights)
    for draw in range(20):
        name = names[draw % len(names)]
        place = int(torch.randint(weights[name].numel(), (1,), generator=generator))
        with torch.no_grad():
            flat, old = weights[name].view(-1), weights[name].view(-1)[place].item()
            sides = []
            for step in (h, -h):
                flat[place] = old + step
                sides.append(nll(model).sum().item())
            flat[place] = old
        assert g[name].view(-1)[place].item() == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-3, abs=1e-9)


def test_heads_of_gpt2():
    heads, width = 2, 4
    fused = torch.arange(width * 3 * width, dtype=torch.float).view(width, 3 * width)
    parts = head_split(heads)("h.0.attn.c_attn.weight", fused)
    assert parts.shape == (6, width, 2)
    assert torch.equal(parts[0], fused[:, :2]) and torch.equal(parts[3], fused[:, 6:8])  # Q of head 0, K of head 1
    out = head_split(heads)("h.0.attn.c_proj.weight", fused[:, :4])
    assert torch.equal(out[1], fused[2:4, :4])
    assert head_split(heads)("h.0.mlp.c_fc.weight", fused).shape == (1, width, 3 * width)


def test_blocks_only():
    names = block_matrices(model := tiny_gpt2("small", vocab=32), dict(model.named_parameters()))
    assert len(names) == 2 * 4 and all(".h." in name and name.endswith("weight") for name in names)


def test_a_mask_has_exactly_as_many_places_even_among_ties():
    ties = {"a": torch.zeros(30), "b": torch.tensor([[0.0, -9.0], [1.0, 0.0]])}
    for k in (1, 2, 3, 17, 34):
        assert count(topk_mask(ties, k)) == k and count(random_mask(ties, k)) == k
    assert topk_mask(ties, 2)["b"].tolist() == [[False, True], [True, False]]
    assert all(torch.equal(random_mask(ties, 9, seed=4)[n], random_mask(ties, 9, seed=4)[n]) for n in ties)
    with pytest.raises(RemanenceError, match="1 to 34 weights, got 35"):
        topk_mask(ties, 35)


def test_the_largest_gradients_of_all_tensors_are_taken():
    gradient = {
        n: torch.randn(s, generator=torch.Generator().manual_seed(i))
        for i, (n, s) in enumerate({"a": (7, 3), "b": (11,)}.items())
    }
    chosen = topk_mask(gradient, 10)
    flat = sorted((x for g in gradient.values() for x in g.abs().flatten().tolist()), reverse=True)
    taken = sorted((x for n, g in gradient.items() for x in g.abs()[chosen[n]].tolist()), reverse=True)
    assert taken == flat[:10]


def test_others_are_put_back_bit_for_bit():
    now, start = {"w": torch.tensor([1.0, float("nan"), 3.0])}, {"w": torch.tensor([0.1, 0.2, 0.3])}
    keep_others_(now, start, {"w": torch.tensor([True, False, False])})
    assert now["w"].tolist() == [1.0, *start["w"].tolist()[1:]]


def test_exactly_the_masked_weights_change():
    model = tiny_gpt2("small", vocab=32)
    weights = matrices(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    mask = topk_mask(gradients(nll(model).sum(), weights), 500)
    sparse_finetune(weights, lambda: -nll(model).mean(), mask, steps=3, learning_rate=1e-3)
    now = dict(model.named_parameters())
    assert sum(int((now[n] != before[n]).sum()) for n in before) == 500
    assert all(torch.equal(now[n][~mask[n]], before[n][~mask[n]]) for n in mask)
    assert all(torch.equal(now[n], before[n]) for n in before if n not in mask)


def test_without_a_mask_it_is_plain_adam():
    one, two = tiny_gpt2("small", vocab=32), tiny_gpt2("small", vocab=32)
    sparse_finetune(matrices(one), lambda: nll(one).mean(), None, steps=3, learning_rate=1e-3)
    optimizer = torch.optim.Adam(matrices(two).values(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        nll(two).mean().backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_contrastive_objective_by_hand():
    # the start says 1/2, 1/2 and the model 3/4, 1/4: KL = log(2/3)/2 + log(2)/2 = 0.1438; the other row costs 2 nats
    start, now = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 1.0]]]).log()
    loss = contrastive_objective(torch.tensor([2.0]), now, start)
    assert loss.item() == pytest.approx(-0.1 * 2 + 0.143841, abs=1e-5)
    assert contrastive_objective(torch.tensor([2.0]), now, start, mode="edit").item() == pytest.approx(
        0.343841, abs=1e-5
    )
    marked = contrastive_objective(
        torch.tensor([2.0]), now.expand(1, 3, 2), start.expand(1, 3, 2), torch.tensor([[1, 0, 1]])
    )
    assert marked.item() == pytest.approx(loss.item())


def test_keeping_costs_nothing_and_pulls_nowhere_at_the_start():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    contrastive_objective(torch.zeros(1), logits, logits.detach()).backward()
    assert logits.grad.abs().max() < 1e-7
