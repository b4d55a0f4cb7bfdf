"""Flat or pointed: four numbers for one row of attention weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from attention_families import slow
from hypothesis import given
from hypothesis import strategies as st

from remanence.explain.attention.statistics import (
    FLAT,
    STATISTICS,
    TOP,
    attention_statistics,
    gini,
    normalised_entropy,
    participation_ratio,
    top_mass,
)

SEEN = torch.ones(4, dtype=torch.bool)


def test_three_tokens_by_hand():
    """Half, a quarter, a quarter: H = 1.5 bits of log2(3) = 1.585; sum of squares 3/8; Gini 1/6, times 3/2."""
    a, seen = torch.tensor([0.5, 0.25, 0.25]), torch.ones(3, dtype=torch.bool)
    assert normalised_entropy(a, seen).item() == pytest.approx(1.5 / math.log2(3))
    assert participation_ratio(a, seen).item() == pytest.approx(1 / (3 * 3 / 8))
    assert top_mass(a, seen, k=1).item() == pytest.approx(0.5)
    assert gini(a, seen).item() == pytest.approx(1 / 6 * 3 / 2)


def test_even_and_pointed_are_the_two_ends():
    even, pointed = torch.full((4,), 0.25), torch.tensor([0.0, 1.0, 0.0, 0.0])
    assert [f(even, SEEN).item() for f in (normalised_entropy, participation_ratio, gini)] == [1, 1, 0]
    assert [f(pointed, SEEN).item() for f in (normalised_entropy, participation_ratio, gini)] == [0, 0.25, 1]


def test_hidden_keys_do_not_count():
    seen = torch.tensor([True, True, False, False])
    assert normalised_entropy(torch.tensor([0.5, 0.5, 0.0, 0.0]), seen).item() == 1
    assert gini(torch.tensor([0.5, 0.5, 0.0, 0.0]), seen).item() == 0
    leaking = attention_statistics(torch.tensor([0.3, 0.1, 0.5, 0.1]), seen)
    alone = attention_statistics(torch.tensor([0.75, 0.25]), torch.tensor([True, True]))
    torch.testing.assert_close(leaking, alone, equal_nan=True)


def test_a_query_that_sees_one_key_has_nothing_to_spread():
    one = torch.tensor([True, False, False, False])
    assert attention_statistics(torch.tensor([1.0, 0, 0, 0]), one).isnan().all()
    assert attention_statistics(torch.zeros(4), torch.zeros(4, dtype=torch.bool)).isnan().all()
    assert attention_statistics(torch.zeros(4), SEEN).isnan().all(), "all mass outside of the row"


def test_top_mass_of_no_more_keys_than_it_adds_is_no_finding():
    a, seen = torch.full((TOP + 1,), 1 / (TOP + 1)), torch.ones(TOP + 1, dtype=torch.bool)
    assert top_mass(a, seen).item() == pytest.approx(TOP / (TOP + 1))
    assert top_mass(a[:TOP], seen[:TOP]).isnan()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_its_slow_twin(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    weights = torch.softmax(3 * torch.randn(5, 3, 7, 11, generator=generator), -1).to(dtype)
    visible = torch.rand(5, 1, 7, 11, generator=generator) < 0.7
    weights = weights * visible
    found = attention_statistics(weights, visible)
    plain = weights.to(torch.float64).numpy()
    seen = visible.expand(weights.shape).numpy()
    wanted = np.array(
        [[[[slow(plain[b, h, q], seen[b, h, q]) for q in range(7)] for h in range(3)] for b in range(5)]]
    )[0]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=2e-6)
    assert 0 < np.isnan(wanted).sum() < wanted.size / 4
    for i, function in enumerate((normalised_entropy, participation_ratio, top_mass, gini)):
        torch.testing.assert_close(function(weights, visible.expand(weights.shape)), found[..., i], equal_nan=True)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=40), st.randoms(use_true_random=False))
def test_all_lie_between_zero_and_one_and_order_does_not_matter(values: list[float], random):
    seen = torch.ones(len(values), dtype=torch.bool)
    found = attention_statistics(torch.tensor(values), seen)
    random.shuffle(values)
    torch.testing.assert_close(
        attention_statistics(torch.tensor(values), seen), found, equal_nan=True, rtol=1e-4, atol=1e-5
    )
    assert bool(((found >= 0) & (found <= 1) | found.isnan()).all())


def test_a_flatter_head_is_flatter_by_all_four():
    logits, seen = torch.randn(9, generator=torch.Generator().manual_seed(1)), torch.ones(9, dtype=torch.bool)
    sharp, soft = (attention_statistics(torch.softmax(x * logits, -1), seen) for x in (3.0, 1.0))
    sign = torch.tensor([FLAT[name] for name in STATISTICS])
    assert bool((sign * soft > sign * sharp).all())


def test_the_same_with_gradients():
    weights = torch.softmax(torch.randn(3, 8, generator=torch.Generator().manual_seed(2)), -1)
    seen = torch.ones(8, dtype=torch.bool)
    torch.testing.assert_close(
        attention_statistics(weights.requires_grad_(), seen), attention_statistics(weights.detach(), seen)
    )
