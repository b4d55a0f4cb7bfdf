"""The objectives of unlearning against numbers worked by hand, and against finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from remanence.mitigate.unlearning.losses import (
    dpo_loss,
    embed_diff,
    gradient_ascent,
    kl_to_ref,
    nll,
    npo_loss,
    rmu_loss,
    simnpo_loss,
    undial_loss,
    weighted_gradient_ascent,
)


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_(True)


LEARNED = torch.tensor([[True, True, False], [True, False, False]])
LABELS = torch.tensor([[2, 0, -100], [1, -100, -100]])


def test_npo_on_two_rows_by_hand():
    """beta 1: one row log 3 nats above its start, one at it. -2 (log 3/4 + log 1/2) / 2 = log 8/3."""
    loss = npo_loss(doubles(5 + math.log(3), 2), doubles(5, 2), beta=1)
    assert loss.item() == pytest.approx(math.log(8 / 3))


def test_at_the_start_npo_is_gradient_ascent_with_the_same_gradient_for_every_row():
    s_B, ref_B = doubles(1, 7, 30), torch.tensor([1.0, 7.0, 30.0], dtype=torch.float64)
    for beta in (0.01, 0.1, 2.0):
        loss = npo_loss(s_B, ref_B, beta)
        assert loss.item() == pytest.approx(2 / beta * math.log(2))
        (gradient,) = torch.autograd.grad(loss, s_B)
        assert gradient.tolist() == pytest.approx([-1 / 3] * 3, abs=1e-12)


def test_npo_goes_to_gradient_ascent_as_beta_goes_to_zero():
    """-(2/b) log sigmoid(b x) = (2/b) log 2 - x + b x^2 / 4 - ...: the rest halves with beta."""
    s_B, ref_B = doubles(3, 9), doubles(2, 5)
    ascent = -(s_B - ref_B).mean()
    for beta in (1e-2, 1e-3, 1e-4):
        rest = npo_loss(s_B, ref_B, beta) - 2 / beta * math.log(2) - ascent
        assert rest.item() == pytest.approx(beta * (1 + 16) / 8, rel=1e-3)
    (gradient,) = torch.autograd.grad(npo_loss(s_B, ref_B, 1e-3), s_B)
    assert gradient.tolist() == pytest.approx([-0.5, -0.5], abs=1.1e-3) and gradient[1] > gradient[0] > -0.5


def test_npos_gradient_is_gradient_ascents_times_its_weight():
    """w = 2 p^beta / (p^beta + p_ref^beta) with p = exp(-s)."""
    beta, s_B, ref_B = 0.3, doubles(4, 1), doubles(1, 2)
    (gradient,) = torch.autograd.grad(npo_loss(s_B, ref_B, beta), s_B)
    p, ref = torch.exp(-beta * s_B), torch.exp(-beta * ref_B)
    assert gradient.tolist() == pytest.approx((-(2 * p / (p + ref)) / 2).tolist())


def test_ascent_is_minus_the_mean_over_tokens_not_over_rows():
    assert gradient_ascent(doubles(6, 2), torch.tensor([3, 1])).item() == -2  # (6 + 2) / 4, not (2 + 2) / 2
    assert gradient_ascent(doubles(6, 6), torch.tensor([3, 1])).item() == -3
    assert nll(doubles(6, 6), torch.tensor([3, 1])).item() == 3


def test_weighted_ascent_by_hand_lets_unlikely_tokens_go():
    """Tokens of probability 1/2 and 1/4 are learned, a third is not: -(1/2 log 2 + 1/4 log 4) / 2 = -log(2) / 2."""
    token_nll = torch.tensor([[math.log(2), math.log(4), 9.0]], dtype=torch.float64, requires_grad=True)
    learned = torch.tensor([[True, True, False]])
    loss = weighted_gradient_ascent(token_nll, learned)
    assert loss.item() == pytest.approx(-math.log(2) / 2)
    (gradient,) = torch.autograd.grad(loss, token_nll)
    assert gradient[0].tolist() == pytest.approx([-0.25, -0.125, 0])  # the weight p is no part of the slope
    assert weighted_gradient_ascent(token_nll, learned, beta=0).item() == pytest.approx(
        gradient_ascent(token_nll[:, :2].sum(1), torch.tensor([2])).item()
    )


def test_simnpo_by_hand():
    """beta 2, delta 1/2: a row with log 3 / 2 + 1/2 nats a token. -(2/2) log sigmoid(log 3) = log 4/3."""
    loss = simnpo_loss(doubles(4 * (math.log(3) / 2 + 0.5)), torch.tensor([4]), beta=2, delta=0.5)
    assert loss.item() == pytest.approx(math.log(4 / 3))


def test_dpo_by_hand_and_without_a_refusal_it_is_npo():
    """The refusal has become log 2 nats likelier, the row log 2 less likely: -2 log sigmoid(log 4) = 2 log 5/4."""
    log2 = math.log(2)
    loss = dpo_loss(doubles(3 + log2), doubles(3), doubles(8 - log2), doubles(8), beta=1)
    assert loss.item() == pytest.approx(2 * math.log(5 / 4))
    unmoved = dpo_loss(doubles(5, 3), doubles(4, 4), doubles(8, 8), doubles(8, 8), beta=0.7)
    assert unmoved.item() == pytest.approx(npo_loss(doubles(5, 3), doubles(4, 4), 0.7).item())


def test_undial_by_hand():
    """Two tokens alike at the start; the label loses log 3, so the rest of the start says 1/4 to 3/4."""
    zero, labels = torch.zeros(1, 2, 2), torch.tensor([[0, -100]])
    loss = undial_loss(zero, zero, labels, strength=math.log(3))
    assert loss.item() == pytest.approx(math.log(2))
    there = torch.tensor([[[-math.log(3), 0.0], [5.0, -5.0]]])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert undial_loss(there, zero, labels, strength=math.log(3)).item() == pytest.approx(entropy)


def test_kl_by_hand_and_flat_at_the_start():
    """ref 1/2, 1/2 against 3/4, 1/4: KL = log(2 / sqrt 3). A token that is not learned does not count."""
    said = torch.tensor([[[math.log(3), 0.0], [7.0, -7.0]]], dtype=torch.float64)
    loss = kl_to_ref(said, torch.zeros(1, 2, 2, dtype=torch.float64), torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(math.log(2 / math.sqrt(3)))
    logits = draw(2, 3, 5)
    at_start = kl_to_ref(logits, logits.detach(), LEARNED)
    (gradient,) = torch.autograd.grad(at_start, logits)
    assert at_start.item() == pytest.approx(0, abs=1e-15) and gradient.abs().max().item() < 1e-15


def test_rmu_by_hand():
    """Two states of width 2, led to (3, 4): squares (9 + 16) / 2 and (0 + 1) / 2; the third is not learned."""
    acts = torch.tensor([[[0.0, 0.0], [3.0, 5.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert rmu_loss(acts, torch.tensor([3.0, 4.0]), mask).item() == pytest.approx((12.5 + 0.5) / 2)
    assert embed_diff(acts, torch.zeros_like(acts), mask).item() == pytest.approx((0 + 17) / 2)


def test_slopes_are_those_of_finite_differences():
    s_B, num_B, ref_B = doubles(3, 5), torch.tensor([2, 4]), doubles(2, 6).detach()
    check = torch.autograd.gradcheck
    assert check(lambda s: gradient_ascent(s, num_B), s_B)
    assert check(lambda s: npo_loss(s, ref_B, 0.3), s_B)
    assert check(lambda s: simnpo_loss(s, num_B, 4.5, 0.2), s_B)
    assert check(lambda s, idk: dpo_loss(s, ref_B, idk, ref_B, 0.3), (s_B, doubles(1, 2)))
    logits, ref = draw(2, 3, 5), draw(2, 3, 5, seed=1).detach()
    assert check(lambda x: kl_to_ref(x, ref, LEARNED), logits)
    assert check(lambda x: undial_loss(x, ref, LABELS, 3.0), logits)
    assert check(lambda x: rmu_loss(x, ref[0, 0], LEARNED), logits)
    assert check(lambda x: embed_diff(x, ref, LEARNED), logits)


def test_a_batch_without_a_learned_token_pulls_nowhere():
    none = torch.zeros(2, 3, dtype=torch.bool)
    logits = draw(2, 3, 5)
    assert kl_to_ref(logits, logits.detach() + 1, none).item() == 0
    assert weighted_gradient_ascent(logits[..., 0], none).item() == 0
    assert undial_loss(logits, logits.detach(), torch.full((2, 3), -100)).item() == 0
    assert simnpo_loss(doubles(0.0), torch.tensor([0])).isfinite()
