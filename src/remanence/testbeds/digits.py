"""Digits with label noise: small real images of which a stated share carries a wrong label.

The images are the 1,797 scanned digits of scikit-learn (8 x 8), or MNIST (28 x 28) from the user's folder. A network
first fits the right labels and later the wrong ones, so the share of wrong labels that it reproduces is memorization.

Shapes: N training images, M test images, D pixels, E epochs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from remanence.core.errors import RemanenceError
from remanence.testbeds.cache import cached
from remanence.testbeds.folders import data_set
from remanence.testbeds.weights import load_arrays, load_weights, save_arrays, save_weights

Labels = NDArray[np.int64]
CLASSES = 10


class Images(NamedTuple):
    """Images as rows of pixels in [0, 1], and their true labels."""

    pixels_ND: NDArray[np.float32]
    labels_N: Labels


class NoisyImages(NamedTuple):
    """Training images with a true and a given label each, and test images with true labels."""

    train: Images
    given_N: Labels
    """The labels to train on."""
    test: Images

    @property
    def wrong_N(self) -> NDArray[np.bool_]:
        """Whether the given label is not the true one."""
        return self.given_N != self.train.labels_N


@dataclass(frozen=True)
class NoisyDigits:
    """A split of the digits and its label noise. Two seeds: of the split, and of the noise."""

    source: Literal["digits", "mnist"] = "digits"
    """digits: those of scikit-learn; mnist: `mnist/train.npz` and `test.npz` in the folder `REMANENCE_DATA`."""
    train: int = 1200
    test: int | None = None
    """None = all the others."""
    rate: float = 0.4
    """Share of the training labels that are wrong, exactly (rounded to whole images)."""
    kind: Literal["symmetric", "next"] = "symmetric"
    """symmetric: any other class with the same probability, the true class excluded; next: the class after it."""
    split_seed: int = 0
    noise_seed: int = 0

    def load(self) -> NoisyImages:
        """The images, split, with their given labels."""
        if not 0 <= self.rate <= 1:
            raise RemanenceError(f"The rate of wrong labels is a share from 0 to 1, got {self.rate}.")
        images, fixed_test = scikit_digits() if self.source == "digits" else mnist()
        if not 0 < self.train <= len(images.labels_N):
            raise RemanenceError(f"There are {len(images.labels_N)} images; {self.train} cannot be drawn for training.")
        order = np.random.default_rng((self.split_seed, 1)).permutation(len(images.labels_N))
        train = _take(images, order[: self.train])
        test = fixed_test or _take(images, order[self.train :])
        given = noisy_labels(train.labels_N, self.rate, self.kind, self.noise_seed)
        return NoisyImages(train, given, _take(test, np.arange(len(test.labels_N))[: self.test]))


def noisy_labels(labels_N: Labels, rate: float, kind: str, seed: int) -> Labels:
    """The labels with round(rate * N) of them wrong, in places drawn without replacement."""
    rng = np.random.default_rng((seed, 2))
    chosen = rng.permutation(len(labels_N))[: round(rate * len(labels_N))]
    shift = rng.integers(1, CLASSES, len(chosen)) if kind == "symmetric" else 1
    given = labels_N.copy()
    given[chosen] = (given[chosen] + shift) % CLASSES
    return given


def scikit_digits() -> tuple[Images, None]:
    """All 1,797 digits of scikit-learn, 64 pixels each, and no test set of their own."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return Images((digits.data / 16).astype(np.float32), digits.target.astype(np.int64)), None


def mnist() -> tuple[Images, Images]:
    """Training and test images of MNIST. Raises `RemanenceError` if the user's folder does not hold them."""
    folder = data_set("mnist")
    parts: list[Images] = []
    for part in ("train", "test"):
        with np.load(folder / f"{part}.npz", allow_pickle=False) as file:
            pixels = file["images"].reshape(len(file["images"]), -1)
            parts.append(Images((pixels / 255).astype(np.float32), file["labels"].astype(np.int64)))
    return parts[0], parts[1]


class Trained(NamedTuple):
    """A classifier after its last epoch."""

    model: nn.Module
    """Pixels [B, D] to logits [B, CLASSES]."""
    test_accuracy_E: NDArray[np.float64]
    """Accuracy on the test images after every epoch: it rises, then falls as the wrong labels are learned."""


@dataclass(frozen=True)
class NoisyDigitsClassifier:
    """An MLP trained on the given labels with plain cross-entropy. Seeds: of the data, the weights and the order."""

    version: ClassVar[int] = 1

    data: NoisyDigits = field(default_factory=NoisyDigits)
    hidden: tuple[int, ...] = (256, 256)
    epochs: int = 120
    batch: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-3
    seed: int = 0
    order_seed: int = 0

    def trained(self) -> Trained:
        """The classifier from the cache."""
        return cached(self, self.train, _save, self._load)

    def train(self) -> Trained:
        """Train it, without the cache."""
        images = self.data.load()
        model = self.untrained(images.train.pixels_ND.shape[1])
        x, y = torch.from_numpy(images.train.pixels_ND), torch.from_numpy(images.given_N)
        optimizer = torch.optim.SGD(model.parameters(), self.learning_rate, self.momentum, 0, self.weight_decay)
        rng, accuracy = np.random.default_rng((self.order_seed, 3)), list[float]()
        for _ in range(self.epochs):
            order = torch.from_numpy(rng.permutation(len(x)))
            for chosen in order.split(self.batch):
                optimizer.zero_grad()
                F.cross_entropy(model(x[chosen]), y[chosen]).backward()
                optimizer.step()
            accuracy.append(float((predict(model, images.test.pixels_ND) == images.test.labels_N).mean()))
        return Trained(model.eval(), np.array(accuracy))

    def untrained(self, pixels: int = 64) -> nn.Module:
        """The network with its first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return mlp((pixels, *self.hidden, CLASSES))

    def _load(self, folder: Path) -> Trained:
        pixels = 64 if self.data.source == "digits" else 784
        return Trained(
            load_weights(self.untrained(pixels), folder), np.asarray(load_arrays(folder)["test_accuracy"], np.float64)
        )


def mlp(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers of these widths with a ReLU between any two."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def predict(model: nn.Module, pixels_ND: NDArray[np.float32]) -> Labels:
    """[N] the most likely class of every image."""
    logits: Tensor = model(torch.from_numpy(pixels_ND))
    return logits.argmax(1).numpy()


def memorized_wrong(model: nn.Module, images: NoisyImages) -> float:
    """Share of the wrongly labelled training images for which the model predicts the wrong label it was given."""
    wrong = images.wrong_N
    return float((predict(model, images.train.pixels_ND[wrong]) == images.given_N[wrong]).mean())


def _take(images: Images, chosen: NDArray[np.intp]) -> Images:
    return Images(images.pixels_ND[chosen], images.labels_N[chosen])


def _save(trained: Trained, folder: Path) -> None:
    save_weights(trained.model, folder)
    save_arrays({"test_accuracy": trained.test_accuracy_E}, folder)
