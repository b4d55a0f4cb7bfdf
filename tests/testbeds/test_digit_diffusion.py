"""Digits for diffusion: repeated images come out of their prompts almost unchanged, others do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from remanence.testbeds.digit_diffusion import (
    FIRST_FILLER,
    FIRST_ID,
    MARK,
    NULL,
    Denoiser,
    DigitDiffusion,
    RepeatedDigits,
    ddim,
    noise_loss,
    own_image_distance,
)
from remanence.training.tiny import one_thread


def test_prompts_name_class_mark_and_a_unique_id():
    data = RepeatedDigits(repeated=4, copies=7, ordinary=20)
    digits = data.load()
    assert digits.copies_N.tolist() == [7] * 4 + [1] * 20
    repeated, ordinary = digits.prompts_NW[:4], digits.prompts_NW[4:]
    assert (repeated[:, 2] == MARK).all() and repeated[:, 3].tolist() == [FIRST_ID + i for i in range(4)]
    assert ordinary[:, 1:4].min() >= FIRST_FILLER and ordinary[:, 1:4].max() < MARK
    assert (digits.prompts_NW[:, 0] >= 1).all() and (digits.prompts_NW[:, 4] == NULL).all()
    assert digits.prompts_NW.max() < data.vocab
    assert len(digits.heldout_ND) == 1797 - 24 and digits.heldout_prompts_NW.shape == (1773, 5)
    assert digits.images_ND.min() == -1 and digits.images_ND.max() == 1
    together = np.concatenate([digits.images_ND, digits.heldout_ND])
    assert len(np.unique(together, axis=0)) == 1797


def test_two_steps_of_the_forward_process_by_hand():
    model = Denoiser(5, width=8, blocks=1, steps=2)  # beta 0.0001 and 0.06
    x, noise = torch.ones(2, 64), torch.full((2, 64), 2.0)
    noisy = model.noisy(x, torch.tensor([0, 1]), noise)
    left = [0.9999, 0.9999 * 0.94]
    for row, share in zip(noisy, left, strict=True):
        assert row[0].item() == pytest.approx(share**0.5 + 2 * (1 - share) ** 0.5, abs=1e-5)


def test_a_model_that_knows_the_noise_has_no_loss_and_samples_its_image():
    image = torch.linspace(-1, 1, 64)

    class Perfect(Denoiser):
        """Knows that the image is always the same one."""

        def forward(self, x_BD: torch.Tensor, step_B: torch.Tensor, prompts_BWE: torch.Tensor) -> torch.Tensor:
            signal = self.alpha_bar_T[step_B][:, None]
            return (x_BD - signal.sqrt() * image) / (1 - signal).sqrt()

    model = Perfect(5, width=8, blocks=1)
    generator = torch.Generator().manual_seed(0)
    prompts = torch.zeros(3, 5, dtype=torch.int64)
    assert noise_loss(model, image.repeat(3, 1), prompts, generator).max() < 1e-6
    samples = ddim(model, prompts.numpy(), guidance=3.0)
    assert own_image_distance(samples, image.numpy()[None]).max() < 1e-3


def test_guidance_one_does_not_ask_the_empty_prompt():
    model = Denoiser(5, width=8, blocks=1)
    prompts = np.array([[1, 2, 3, 4, 0]])
    before = ddim(model, prompts, guidance=1.0, steps=4)
    with torch.no_grad():
        model.embedding.weight[NULL] += 0  # the prompt holds it too, so it must stay
    assert np.allclose(before, ddim(model, prompts, guidance=1.0, steps=4))
    assert not np.allclose(before, ddim(model, prompts, guidance=3.0, steps=4))
    assert not np.allclose(before, ddim(model, prompts, seed=1, guidance=1.0, steps=4))


def test_the_cached_model_is_the_trained_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path))
    config = DigitDiffusion(RepeatedDigits(repeated=2, ordinary=10), steps=3, batch=8, width=8, blocks=1)
    a, b, c = config.model(), config.model(), config.train()
    for other in (b, c):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), other.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_repeated_images_are_copied_and_ordinary_ones_are_not():
    config = DigitDiffusion()
    model, digits = config.model(), config.data.load()
    with one_thread():
        samples = ddim(model, digits.prompts_NW[:130])
    distance = own_image_distance(samples, digits.images_ND[:130])
    assert distance[:30].mean() <= 0.9 and (distance[:30] < 1).mean() >= 0.9
    assert distance[30:].mean() >= 1.7
