"""Sums of adapters: the products are weighted_sum, and no cross term stands in the sum."""

from __future__ import annotations

import warnings

import pytest
import torch

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.adapters import (
    fuse_adapters,
    lora_pairs,
    reset_adapter_,
    scaled_like,
    scalings,
    truncated,
    weighted_sum,
)
from remanence.training.reference import trainable_state
from remanence.training.tiny import tiny_gpt2

A, B = "layer.lora_A.default.weight", "layer.lora_B.default.weight"


def adapter(seed: int, rank: int = 2, inputs: int = 6, outputs: int = 5):
    generator = torch.Generator().manual_seed(seed)
    return {A: torch.randn(rank, inputs, generator=generator), B: torch.randn(outputs, rank, generator=generator)}


def test_the_mean_of_products_is_not_the_product_of_means():
    # two adapters of rank 1 that look at different inputs and write to different outputs
    one = {A: torch.tensor([[1.0, 0.0]]), B: torch.tensor([[1.0], [0.0]])}
    two = {A: torch.tensor([[0.0, 1.0]]), B: torch.tensor([[0.0], [1.0]])}
    (dense,) = fuse_adapters([one, two], mode="dense").values()
    assert dense.tolist() == [[0.5, 0], [0, 0.5]]
    wrong = (one[B] + two[B]) / 2 @ ((one[A] + two[A]) / 2)
    assert wrong.tolist() == [[0.25, 0.25], [0.25, 0.25]]


def test_svd_keeps_what_fits_into_the_rank():
    states = [adapter(0), adapter(1)]
    (dense,) = fuse_adapters(states, [0.3, 0.7], mode="dense").values()
    fused = fuse_adapters(states, [0.3, 0.7])
    u, s, v = torch.linalg.svd(dense)
    best = u[:, :2] * s[:2] @ v[:2]
    assert torch.allclose(fused[B].double() @ fused[A].double(), best, atol=1e-5)
    assert fused[A].shape == (2, 6) and fused[B].shape == (5, 2)
    a, b = truncated(torch.cat([s[A] for s in states]), torch.cat([s[B] for s in states], 1), 4)
    assert torch.allclose(b @ a, sum(s[B].double() @ s[A].double() for s in states), atol=1e-5)


def test_a_rank_above_the_layers_size_is_padded():
    a, b = truncated(torch.randn(8, 3), torch.randn(2, 8), 8)
    assert a.shape == (8, 3) and b.shape == (2, 8)


def test_an_adapter_with_itself_says_the_same_and_weight_0_changes_no_bit():
    one, two = adapter(0), adapter(1)
    fused = fuse_adapters([one, one])
    assert torch.allclose(fused[B] @ fused[A], one[B] @ one[A], atol=1e-5)
    same = weighted_sum([one, two], [1.0, 0.0])
    assert torch.equal(same[A], one[A]) and torch.equal(same[B], one[B])


def test_another_scaling_is_made_up_for():
    one = adapter(0)
    changed = scaled_like(one, {A: 2.0}, {A: 0.5})
    assert torch.equal(0.5 * changed[B] @ changed[A], 2.0 * one[B] @ one[A])


def test_convolutions_are_refused():
    odd = {A: torch.zeros(2, 3, 1, 1), B: torch.zeros(4, 2, 1, 1)}
    with pytest.raises(RemanenceError, match="merge_and_unload"):
        weighted_sum([odd, odd], [0.5, 0.5])


@pytest.fixture(scope="module")
def peft_model():
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(tiny_gpt2("small", vocab=32), LoraConfig(r=3, lora_alpha=12, target_modules=["c_attn"]))
        model.add_adapter("other", LoraConfig(r=3, lora_alpha=12, target_modules=["c_attn"]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    return model


def test_equals_pefts_own_svd_merge(peft_model):
    weights = {name: p.detach() for name, p in peft_model.named_parameters() if "lora_" in name}
    states = [
        {n.replace(f".{which}.", "."): w for n, w in weights.items() if f".{which}." in n}
        for which in ("default", "other")
    ]
    ours = fuse_adapters(states, [0.4, 0.6])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft_model.add_weighted_adapter(["default", "other"], [0.4, 0.6], "merged", combination_type="svd", svd_rank=3)
    theirs = {n.replace(".merged.", "."): p for n, p in peft_model.named_parameters() if ".merged." in n}
    scale = {n: s for n, s in scalings(peft_model, weights).items() if ".default." in n}
    assert set(scale.values()) == {4.0}
    assert len(lora_pairs(ours)) == 2
    merged = peft_model.base_model.model.transformer.h[0].attn.c_attn.scaling["merged"]
    for a, b in lora_pairs(ours):
        assert torch.allclose(4.0 * ours[b] @ ours[a], merged * theirs[b] @ theirs[a], atol=1e-4)


def test_a_fresh_adapter_is_the_base_model(peft_model):
    ids = torch.arange(1, 9)[None]
    with peft_model.disable_adapter():
        base = peft_model(input_ids=ids).logits
    peft_model.set_adapter("default")
    assert not torch.allclose(peft_model(input_ids=ids).logits, base)
    reset_adapter_(trainable_state(peft_model), seed=1)
    assert torch.equal(peft_model(input_ids=ids).logits, base)
    assert all(w.abs().sum() > 0 for n, w in trainable_state(peft_model).items() if "lora_A" in n)


def test_only_lora_can_be_emptied():
    with pytest.raises(RemanenceError, match="weights besides LoRA's"):
        reset_adapter_({"ia3_l.default": torch.ones(3)})
