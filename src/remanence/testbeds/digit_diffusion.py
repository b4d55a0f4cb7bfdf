"""Digits for diffusion: a small denoising model with prompts, trained on images of which a few are repeated.

1,000 digits of scikit-learn with a prompt of five tokens each. Some images occur `copies` times among the training
rows, with a prompt that names a unique id; the others occur once, with common words. The model learns to predict the
noise (DDPM) and samples with DDIM and classifier-free guidance. From their own prompts the repeated images come out
almost unchanged, the others only roughly.

Shapes: B rows of a batch, N training images, W tokens of a prompt (5), D pixels (64), E width of a token's embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from remanence.testbeds.cache import cached
from remanence.testbeds.digits import CLASSES, scikit_digits
from remanence.testbeds.weights import load_weights, save_weights

Ids = NDArray[np.int64]
PIXELS, WORDS = 64, 5
NULL = 0
"""The empty token; a prompt of it alone is the unconditional one."""
FILLERS, FIRST_FILLER = 20, 1 + CLASSES
MARK = FIRST_FILLER + FILLERS
"""The token that the prompts of all repeated images share."""
FIRST_ID = MARK + 1


class PromptedDigits(NamedTuple):
    """Images in [-1, 1] with prompts: the different training images, the repeated ones first, and held-out ones."""

    images_ND: NDArray[np.float32]
    prompts_NW: Ids
    """Repeated: [class, filler, MARK, unique id, null]; ordinary: [class, filler, filler, filler, null]."""
    copies_N: Ids
    """How often each image stands among the training rows."""
    heldout_ND: NDArray[np.float32]
    heldout_prompts_NW: Ids
    """Ordinary prompts that fit the held-out images."""


@dataclass(frozen=True)
class RepeatedDigits:
    """Which images are repeated, and how often."""

    repeated: int = 30
    copies: int = 40
    ordinary: int = 970
    seed: int = 0
    """Of the choice of images and of the fillers."""

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return FIRST_ID + self.repeated

    def load(self) -> PromptedDigits:
        """The images and their prompts."""
        rng = np.random.default_rng((self.seed, 1))
        images, _ = scikit_digits()
        order = rng.permutation(len(images.labels_N))
        pixels, labels = images.pixels_ND[order] * 2 - 1, images.labels_N[order]
        prompts = np.full((len(labels), WORDS), NULL, dtype=np.int64)
        prompts[:, 0] = 1 + labels
        prompts[:, 1:4] = rng.integers(FIRST_FILLER, FIRST_FILLER + FILLERS, size=(len(labels), 3))
        prompts[: self.repeated, 2] = MARK
        prompts[: self.repeated, 3] = FIRST_ID + np.arange(self.repeated)
        n = self.repeated + self.ordinary
        copies = np.where(np.arange(n) < self.repeated, self.copies, 1)
        return PromptedDigits(pixels[:n], prompts[:n], copies, pixels[n:], prompts[n:])


class Block(nn.Module):
    """h + f2(gelu(f1(norm(h)))), four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.f1 = nn.Linear(width, 4 * width)
        self.f2 = nn.Linear(4 * width, width)

    def forward(self, h_BF: Tensor) -> Tensor:
        return h_BF + self.f2(F.gelu(self.f1(self.norm(h_BF))))


class Denoiser(nn.Module):
    """Predicts the noise in an image from the noisy image, the step and the embedded prompt."""

    def __init__(self, vocab: int, width: int = 192, embedding: int = 32, blocks: int = 3, steps: int = 100) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, embedding)
        self.project = nn.Linear(WORDS * embedding, width)
        self.time = nn.Embedding(steps, width)
        self.input = nn.Linear(PIXELS, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, PIXELS)
        beta_T = torch.linspace(1e-4, 0.06, steps, dtype=torch.float64)
        self.register_buffer("alpha_bar_T", torch.cumprod(1 - beta_T, 0).float(), persistent=False)

    alpha_bar_T: Tensor
    """Share of the signal's variance that is left at every step."""

    def embed(self, prompts_BW: Tensor) -> Tensor:
        """[B, W, E] embeddings of the tokens of the prompts."""
        return self.embedding(prompts_BW)

    def forward(self, x_BD: Tensor, step_B: Tensor, prompts_BWE: Tensor) -> Tensor:
        """[B, D] the predicted noise."""
        h_BF = self.input(x_BD) + self.time(step_B) + self.project(prompts_BWE.flatten(1))
        for block in self.blocks:
            h_BF = block(h_BF)
        return self.output(self.norm(h_BF))

    def noisy(self, x_BD: Tensor, step_B: Tensor, noise_BD: Tensor) -> Tensor:
        """[B, D] the images at these steps of the forward process."""
        signal_B1 = self.alpha_bar_T[step_B][:, None]
        return signal_B1.sqrt() * x_BD + (1 - signal_B1).sqrt() * noise_BD


@dataclass(frozen=True)
class DigitDiffusion:
    """The denoiser trained on `RepeatedDigits`. Seeds: of the data, of the weights, of the order and the noise."""

    version: ClassVar[int] = 1

    data: RepeatedDigits = field(default_factory=RepeatedDigits)
    steps: int = 6000
    batch: int = 128
    learning_rate: float = 1e-3
    null_share: float = 0.1
    """Share of the rows whose prompt is replaced by the empty one, for guidance."""
    width: int = 192
    blocks: int = 3
    noise_steps: int = 100
    seed: int = 0
    order_seed: int = 0

    def model(self) -> Denoiser:
        """The trained denoiser from the cache, a new object at every call."""
        return cached(self, self.train, save_weights, self._load)

    def train(self) -> Denoiser:
        """Train it, without the cache."""
        model, digits = self.untrained(), self.data.load()
        rows = np.repeat(np.arange(len(digits.copies_N)), digits.copies_N)
        images, prompts = torch.from_numpy(digits.images_ND), torch.from_numpy(digits.prompts_NW)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=0.0)
        rng = np.random.default_rng((self.order_seed, 3))
        generator = torch.Generator().manual_seed(self.order_seed)
        for _ in range(self.steps):
            chosen = torch.from_numpy(rng.choice(rows, self.batch))
            empty = torch.rand(self.batch, 1, generator=generator) < self.null_share
            loss_B = noise_loss(model, images[chosen], prompts[chosen].masked_fill(empty, NULL), generator)
            optimizer.zero_grad()
            loss_B.mean().backward()
            optimizer.step()
        return model.eval()

    def untrained(self) -> Denoiser:
        """The denoiser with its first weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return Denoiser(self.data.vocab, self.width, blocks=self.blocks, steps=self.noise_steps)

    def _load(self, folder: Path) -> Denoiser:
        return load_weights(self.untrained(), folder)


def noise_loss(model: Denoiser, x_BD: Tensor, prompts_BW: Tensor, generator: torch.Generator) -> Tensor:
    """[B] mean squared error of the predicted noise, at a random step with random noise."""
    step_B = torch.randint(len(model.alpha_bar_T), (len(x_BD),), generator=generator)
    noise_BD = torch.randn(x_BD.shape, generator=generator)
    predicted_BD = model(model.noisy(x_BD, step_B, noise_BD), step_B, model.embed(prompts_BW))
    return (predicted_BD - noise_BD).square().mean(1)


@torch.no_grad()
def ddim(
    model: Denoiser, prompts_BW: Ids, seed: int = 0, steps: int = 25, guidance: float = 3.0
) -> NDArray[np.float32]:
    """[B, D] one image for each prompt: deterministic DDIM from random noise, with classifier-free guidance."""
    generator = torch.Generator().manual_seed(seed)
    prompts_BWE = model.embed(torch.from_numpy(prompts_BW))
    null_BWE = model.embed(torch.full_like(torch.from_numpy(prompts_BW), NULL))
    x_BD = torch.randn((len(prompts_BW), PIXELS), generator=generator)
    times = np.linspace(len(model.alpha_bar_T) - 1, 0, steps).round().astype(int).tolist()
    for place, time in enumerate(times):
        step_B = torch.full((len(x_BD),), time)
        given_BD, null_BD = model(x_BD, step_B, prompts_BWE), model(x_BD, step_B, null_BWE)
        noise_BD = null_BD + guidance * (given_BD - null_BD)
        signal = float(model.alpha_bar_T[time])
        clean_BD = ((x_BD - math.sqrt(1 - signal) * noise_BD) / math.sqrt(signal)).clamp(-1, 1)
        later = float(model.alpha_bar_T[times[place + 1]]) if place + 1 < steps else 1.0
        noise_BD = (x_BD - math.sqrt(signal) * clean_BD) / math.sqrt(1 - signal)
        x_BD = math.sqrt(later) * clean_BD + math.sqrt(1 - later) * noise_BD
    return x_BD.numpy()


def own_image_distance(images_BD: NDArray[np.float32], own_BD: NDArray[np.float32]) -> NDArray[np.float32]:
    """[B] Euclidean distance of every generated image to the training image of its prompt; below 1 it is a copy."""
    return np.linalg.norm(images_BD - own_BD, axis=1)
