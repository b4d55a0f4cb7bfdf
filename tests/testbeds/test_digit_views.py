"""Digits for self-supervision: four sets apart, and an encoder that aligns views of the images it was trained on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from remanence.core.errors import RemanenceError
from remanence.testbeds.digit_views import EncoderPair, FourDigitSets, alignment, augment, simclr_loss
from remanence.testbeds.digits import scikit_digits
from remanence.training.tiny import one_thread


def test_four_sets_share_no_image():
    sets = FourDigitSets(shared=50, others=20, permuted=False).load()
    assert [len(part) for part in sets] == [50, 20, 20, 20]
    together = np.concatenate(sets)
    assert len(np.unique(together, axis=0)) == 110
    known = {row.tobytes() for row in scikit_digits()[0].pixels_ND}
    assert {row.tobytes() for row in together} <= known
    with pytest.raises(RemanenceError, match="ask for fewer"):
        FourDigitSets(shared=1700).load()


def test_permuted_images_keep_their_pixels_and_lose_their_places():
    plain, permuted = (FourDigitSets(shared=50, others=20, permuted=p).load() for p in (False, True))
    assert np.array_equal(plain.shared, permuted.shared)
    for before, after in zip(plain[1:], permuted[1:], strict=True):
        assert np.array_equal(np.sort(before, axis=1), np.sort(after, axis=1))
        assert not (before == after).all(axis=1).any()


def test_the_loss_of_two_images_by_hand():
    """Views (1, 0), (0, 1) and the same again: a view has its partner at cosine 1 and two others at cosine 0."""
    views = torch.eye(2)
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert simclr_loss(views, 3 * views, temperature=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_a_view_is_shifted_by_one_pixel_at_most():
    image = torch.zeros(400, 64)
    image[:, 3 * 8 + 3] = 50.0
    views = augment(image, torch.Generator().manual_seed(0)).view(-1, 8, 8)
    bright = (views > 20).nonzero()[:, 1:]
    assert bright.min() == 2 and bright.max() == 4
    dropped = 1 - len(bright) / 400
    assert dropped == pytest.approx(0.1, abs=0.05)


def test_alignment_of_an_encoder_that_ignores_its_input_is_zero_and_of_noise_is_not():
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(x), 3)

    pixels = FourDigitSets(shared=10, others=5).load().shared
    assert alignment(Constant(), pixels).max() == 0
    assert alignment(nn.Identity(), pixels).min() > 0.1
    assert np.array_equal(alignment(nn.Identity(), pixels), alignment(nn.Identity(), pixels))


def test_the_cached_pair_is_the_trained_one_and_starts_from_the_same_weights(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path))
    pair = EncoderPair(FourDigitSets(shared=20, others=10), widths=(8, 4), epochs=2, batch=15)
    x = torch.from_numpy(pair.data.load().external)
    built, again, trained = pair.encoders(), pair.encoders(), pair.train()
    for part in range(2):
        assert torch.equal(built[part](x), again[part](x)) and torch.equal(built[part](x), trained[part](x))
    assert not torch.equal(built.with_candidates(x), built.without_candidates(x))
    start = replace(pair, epochs=0).train()
    assert torch.equal(start.with_candidates(x), start.without_candidates(x))


@pytest.mark.slow
def test_an_encoder_aligns_the_atypical_images_it_was_trained_on():
    """Mean over three seeds: candidates above external above independent images, both with p < 0.01."""
    scores: dict[str, list[np.ndarray]] = {"candidates": [], "independent": [], "external": []}
    with one_thread():
        for seed in range(3):
            pair = EncoderPair(FourDigitSets(seed=seed), seed=seed, order_seed=seed)
            sets, encoders = pair.data.load(), pair.encoders()
            for name, kept in scores.items():
                without, with_ = (
                    alignment(e, getattr(sets, name)) for e in (encoders.without_candidates, encoders.with_candidates)
                )
                kept.append(without - with_)
    c, i, e = (np.concatenate(scores[name]) for name in ("candidates", "independent", "external"))
    assert c.mean() > e.mean() > i.mean()
    assert stats.ttest_ind(c, e, alternative="greater").pvalue < 0.01
    assert stats.ttest_ind(i, e, alternative="less").pvalue < 0.01
