"""Sums of models: as vectors on paper, and to the last bit where nothing is added."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import RemanenceError
from remanence.mitigate.weights.states import check_ancestor, combine, cosine, write_state_
from remanence.training.tiny import tiny_gpt2


def test_a_sum_by_hand():
    # 2 + 0.25 (6 - 2) + 0.5 (10 - 2) = 7
    states = [{"w": torch.tensor([x])} for x in (2.0, 6.0, 10.0)]
    assert combine(states, [0.25, 0.25, 0.5])["w"].item() == 7.0
    # one step beyond the first model, away from the second: 2 - 0.5 (6 - 2) = 0
    assert combine(states[:2], [1.5, -0.5])["w"].item() == 0.0


@given(st.integers(1, 7), st.integers(0, 1000))
def test_a_model_summed_with_itself_is_itself_to_the_bit(m, seed):
    generator = torch.Generator().manual_seed(seed)
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        state = {"w": torch.randn(5, 3, generator=generator).to(kind)}
        weights = torch.rand(m, generator=generator) + 0.1
        summed = combine([state] * m, (weights / weights.sum()).tolist())
        assert torch.equal(summed["w"], state["w"]) and summed["w"].dtype == kind


def test_the_order_of_models_does_not_matter():
    states = [{"w": torch.randn(50, generator=torch.Generator().manual_seed(s))} for s in range(4)]
    weights = [0.1, 0.2, 0.3, 0.4]
    forth, back = combine(states, weights), combine(states[::-1], weights[::-1])
    assert torch.allclose(forth["w"], back["w"], atol=1e-6)


def test_bfloat16_is_summed_in_float32():
    # 40 of 64 models are one step of bfloat16 (1/128) above 1: the mean, 1.0049, is nearer to that step than to 1.
    # Summed in bfloat16 nothing would ever move: 1 + (1/64) (1/128) is 1 there.
    states = [{"w": torch.tensor([1.0 + (i > 23) / 128], dtype=torch.bfloat16)} for i in range(64)]
    assert combine(states, [1 / 64] * 64)["w"].item() == 1.0 + 1 / 128
    naive = states[0]["w"].clone()
    for state in states:
        naive += (state["w"] - states[0]["w"]) / 64
    assert naive.item() == 1.0


def test_integers_are_the_first_models_and_ties_stay():
    one, two = tiny_gpt2("small", vocab=32, seed=0), tiny_gpt2("small", vocab=32, seed=1)
    states = [dict(model.state_dict()) | {"steps": torch.tensor(s)} for s, model in enumerate((one, two), 3)]
    mean = combine(states, [0.5, 0.5])
    assert mean["steps"].item() == 3
    assert torch.equal(mean["lm_head.weight"], mean["transformer.wte.weight"])


def test_models_of_other_shapes_or_weights_are_refused():
    one, two = {"w": torch.zeros(2)}, {"w": torch.zeros(3)}
    with pytest.raises(RemanenceError, match=r"differs from the first in architecture .* such as w"):
        combine([one, two], [0.5, 0.5])
    with pytest.raises(RemanenceError, match="add up to 1"):
        combine([one, one], [0.5, 0.6])
    with pytest.raises(RemanenceError, match="at least one"):
        combine([], [])


def test_models_from_other_random_starts_are_noticed():
    one, two = (dict(tiny_gpt2("small", vocab=32, seed=s).named_parameters()) for s in (0, 1))
    near = {name: p + 0.01 * torch.randn_like(p) for name, p in one.items()}
    assert cosine(one, near) > 0.8 and abs(cosine(one, two)) < 0.05
    check_ancestor([one, near])
    with pytest.raises(RemanenceError, match="stranger does not come from the same base"):
        check_ancestor([one, two], ["the model", "stranger"])


def test_put_writes_into_the_live_model():
    model = tiny_gpt2("small", vocab=32)
    bias = model.transformer.h[0].ln_1.bias
    write_state_(model, {"transformer.h.0.ln_1.bias": torch.ones_like(bias)})
    assert bias.eq(1).all() and model.transformer.h[1].ln_1.bias.eq(0).all()
