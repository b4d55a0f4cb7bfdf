"""Digits for self-supervision: pairs of encoders, one trained with a set of candidate images and one without.

Four sets of images: shared ones that both encoders see, candidates that only the first sees, independent ones that
only the second sees, and external ones that neither sees. Each encoder learns with SimCLR that two augmented views of
an image belong together. Candidates, independent and external images can be made atypical by permuting their pixels.

Shapes: B images of a batch, D pixels (64), K length of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from remanence.core.errors import RemanenceError
from remanence.testbeds.cache import cached
from remanence.testbeds.digits import mlp, scikit_digits
from remanence.testbeds.weights import load_weights, save_weights

Pixels = NDArray[np.float32]
SIDE = 8


class FourSets(NamedTuple):
    """Images as rows of pixels in [0, 1]; no image stands in two sets."""

    shared: Pixels
    candidates: Pixels
    independent: Pixels
    external: Pixels


@dataclass(frozen=True)
class FourDigitSets:
    """Sizes of the four sets, and whether the last three are atypical."""

    shared: int = 300
    others: int = 100
    """Images of each of the other three sets."""
    permuted: bool = True
    """Permute the pixels of every image of these three sets, each in a way of its own."""
    seed: int = 0

    def load(self) -> FourSets:
        """The images. Raises `RemanenceError` if there are not so many."""
        images, _ = scikit_digits()
        needed = self.shared + 3 * self.others
        if needed > len(images.labels_N):
            raise RemanenceError(f"There are {len(images.labels_N)} digits, not {needed}; ask for fewer.")
        rng = np.random.default_rng((self.seed, 1))
        chosen = images.pixels_ND[rng.permutation(len(images.labels_N))[:needed]]
        if self.permuted:
            chosen[self.shared :] = rng.permuted(chosen[self.shared :], axis=1)
        return FourSets(*np.split(chosen, self.shared + self.others * np.arange(3)))


class Encoders(NamedTuple):
    """Encoders from pixels [B, D] to embeddings [B, K], without the projection that only training uses."""

    with_candidates: nn.Module
    without_candidates: nn.Module
    """Trained on the independent images in their place."""


@dataclass(frozen=True)
class EncoderPair:
    """Both encoders, trained with SimCLR from the same first weights. Seeds: data, weights, and order with views."""

    version: ClassVar[int] = 1

    data: FourDigitSets = field(default_factory=FourDigitSets)
    widths: tuple[int, ...] = (256, 128)
    projection: int = 64
    epochs: int = 200
    batch: int = 100
    learning_rate: float = 1e-3
    temperature: float = 0.5
    seed: int = 0
    order_seed: int = 0

    def encoders(self) -> Encoders:
        """The pair from the cache."""
        return Encoders(*map(_encoder, cached(self, self._train, save_weights, self._load)))

    def train(self) -> Encoders:
        """Train the pair, without the cache."""
        return Encoders(*map(_encoder, self._train()))

    def _train(self) -> nn.ModuleList:
        """Two modules of encoder and projection each."""
        sets, models = self.data.load(), self._untrained()
        for model, own in zip(models, (sets.candidates, sets.independent), strict=True):
            self._fit(model, torch.from_numpy(np.concatenate([sets.shared, own])))
        return models.eval()

    def _fit(self, model: nn.Module, pixels_ND: Tensor) -> None:
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate)
        rng = np.random.default_rng((self.order_seed, 2))
        generator = torch.Generator().manual_seed(self.order_seed)
        for _ in range(self.epochs):
            for chosen in torch.from_numpy(rng.permutation(len(pixels_ND))).split(self.batch):
                first, second = (model(augment(pixels_ND[chosen], generator)) for _ in range(2))
                optimizer.zero_grad()
                simclr_loss(first, second, self.temperature).backward()
                optimizer.step()

    def _untrained(self) -> nn.ModuleList:
        """The two modules with their first weights."""
        models: list[nn.Module] = []
        for _ in range(2):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                encoder = mlp((SIDE * SIDE, *self.widths))
                models.append(nn.Sequential(encoder, nn.ReLU(), nn.Linear(self.widths[-1], self.projection)))
        return nn.ModuleList(models)

    def _load(self, folder: Path) -> nn.ModuleList:
        return load_weights(self._untrained(), folder)


def _encoder(module: nn.Module) -> nn.Module:
    """The module without its projection."""
    assert isinstance(module, nn.Sequential)
    return module[0]


def augment(pixels_BD: Tensor, generator: torch.Generator) -> Tensor:
    """[B, D] a random view of each image: moved by up to 1 pixel, other contrast, noise, 10 % of pixels dropped."""
    images = pixels_BD.view(-1, SIDE, SIDE)
    padded = F.pad(images, (1, 1, 1, 1))
    shift_B2 = torch.randint(3, (len(images), 2), generator=generator)
    rows = shift_B2[:, :1] + torch.arange(SIDE)
    columns = shift_B2[:, 1:] + torch.arange(SIDE)
    moved = padded[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]].flatten(1)
    contrast_B1 = 0.7 + 0.6 * torch.rand(len(images), 1, generator=generator)
    noisy = moved * contrast_B1 + 0.1 * torch.randn(moved.shape, generator=generator)
    return noisy * (torch.rand(moved.shape, generator=generator) >= 0.1)


def simclr_loss(first_BK: Tensor, second_BK: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of finding the other view of an image among all other views of the batch, by cosine."""
    views = F.normalize(torch.cat([first_BK, second_BK]), dim=1)
    similarity = views @ views.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(views), dtype=torch.bool), -torch.inf)
    partner = torch.arange(len(views)).roll(len(first_BK))
    return F.cross_entropy(similarity, partner)


@torch.no_grad()
def alignment(encoder: nn.Module, pixels_BD: Pixels, views: int = 10, seed: int = 0) -> NDArray[np.float32]:
    """[B] mean distance between the normalized embeddings of pairs of views; small = views belong together.

    The same seed gives the same views, so that encoders can be compared.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.from_numpy(pixels_BD)
    embedded = torch.stack([F.normalize(encoder(augment(images, generator)), dim=1) for _ in range(views)])
    pairs = torch.combinations(torch.arange(views))
    return (embedded[pairs[:, 0]] - embedded[pairs[:, 1]]).norm(dim=2).mean(0).numpy()
