"""Digits with label noise: exactly the stated share of wrong labels, and a network that learns them last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from remanence.core.errors import RemanenceError
from remanence.testbeds.digits import (
    NoisyDigits,
    NoisyDigitsClassifier,
    memorized_wrong,
    noisy_labels,
    predict,
    scikit_digits,
)


def test_four_labels_by_hand():
    labels = np.array([3, 3, 9, 9])
    assert (noisy_labels(labels, 0.5, "symmetric", 0) != labels).sum() == 2
    assert noisy_labels(labels, 0, "symmetric", 0).tolist() == [3, 3, 9, 9]
    assert noisy_labels(labels, 1, "next", 0).tolist() == [4, 4, 0, 0]


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4, 0.8, 1.0])
def test_wrong_labels_are_exactly_the_stated_share_and_never_the_true_one(rate: float):
    images = NoisyDigits(rate=rate).load()
    assert images.wrong_N.sum() == round(rate * 1200)
    assert images.given_N.min() >= 0 and images.given_N.max() <= 9


def test_symmetric_noise_is_uniform_over_the_nine_other_classes():
    labels = np.repeat(np.arange(10), 2000)
    shift = (noisy_labels(labels, 1.0, "symmetric", 1) - labels) % 10
    counts = np.bincount(shift, minlength=10)
    assert counts[0] == 0
    expected = len(labels) / 9
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 26.1, "chi-square with 8 degrees of freedom, p = 0.001"


def test_the_split_is_of_different_images_and_every_seed_is_its_own():
    config = NoisyDigits()
    images = config.load()
    pixels, _ = scikit_digits()
    assert len(images.train.labels_N) == 1200 and len(images.test.labels_N) == 597
    both = np.concatenate([images.train.pixels_ND, images.test.pixels_ND])
    assert np.array_equal(np.sort(both.view("V256").ravel()), np.sort(pixels.pixels_ND.view("V256").ravel()))
    other_noise = replace(config, noise_seed=1).load()
    assert np.array_equal(other_noise.train.pixels_ND, images.train.pixels_ND)
    assert not np.array_equal(other_noise.given_N, images.given_N)
    assert not np.array_equal(replace(config, split_seed=1).load().train.pixels_ND, images.train.pixels_ND)
    assert images.train.pixels_ND.min() == 0 and images.train.pixels_ND.max() == 1


def test_misuse_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RemanenceError, match="share from 0 to 1"):
        NoisyDigits(rate=1.2).load()
    with pytest.raises(RemanenceError, match="1797 images"):
        NoisyDigits(train=2000).load()
    monkeypatch.delenv("REMANENCE_DATA", raising=False)
    with pytest.raises(RemanenceError, match="REMANENCE_DATA"):
        NoisyDigits("mnist").load()


def test_mnist_is_read_from_the_users_folder(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_DATA", str(shared_data))
    images = NoisyDigits("mnist", train=2000, test=500, rate=0.2).load()
    assert images.train.pixels_ND.shape == (2000, 784) and images.test.pixels_ND.shape == (500, 784)
    assert images.wrong_N.sum() == 400 and len(np.unique(images.test.labels_N)) == 10


def test_a_network_that_repeats_its_labels_has_memorized_all():
    images = NoisyDigits(train=50, rate=0.4).load()

    class Lookup(torch.nn.Module):
        """Answers every training image with its given label."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            place = (x[:, None] == torch.from_numpy(images.train.pixels_ND)).all(-1).float().argmax(1)
            return torch.nn.functional.one_hot(torch.from_numpy(images.given_N)[place], 10).float()

    assert memorized_wrong(Lookup(), images) == 1.0
    images = images._replace(given_N=np.where(images.wrong_N, (images.given_N + 5) % 10, images.given_N))
    assert memorized_wrong(Lookup(), images) == 1.0
    right = images._replace(train=images.train._replace(labels_N=(images.given_N + 1) % 10))
    assert memorized_wrong(Lookup(), right) == 1.0 and right.wrong_N.all()


def test_the_cached_classifier_is_the_trained_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path))
    config = NoisyDigitsClassifier(NoisyDigits(train=100, test=50), hidden=(16,), epochs=2)
    built, trained = config.trained(), config.train()
    assert np.array_equal(built.test_accuracy_E, trained.test_accuracy_E) and len(built.test_accuracy_E) == 2
    x = config.data.load().test.pixels_ND
    assert torch.equal(built.model(torch.from_numpy(x)), trained.model(torch.from_numpy(x)))
    assert (predict(built.model, x) == config.data.load().test.labels_N).mean() == built.test_accuracy_E[-1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_right_labels_are_learned_first_and_wrong_ones_last(seed: int):
    config = NoisyDigitsClassifier(NoisyDigits(split_seed=seed, noise_seed=seed), seed=seed, order_seed=seed)
    trained = config.trained()
    assert trained.test_accuracy_E.max() >= 0.92
    assert trained.test_accuracy_E[-1] <= 0.75
    assert memorized_wrong(trained.model, config.data.load()) >= 0.9
