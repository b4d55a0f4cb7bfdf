"""Fusion: average models that learned different rows; the mean keeps what they share and loses what only one knows.

Paper: Zaman, Choshen and Srivastava 2024, "Fuse to Forget: Bias Reduction and Selective Memorization through Model
Fusion", arXiv 2311.07682

Verbatim recall disappears first and evidence of membership much later, so both should be reported. What the peers
learned less well becomes weaker too.

Shapes: m models, N texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.mitigate.deprecated import accepts_old_keywords, renamed_class
from remanence.mitigate.unlearning.base import Unlearning
from remanence.mitigate.weights.adapters import lora_pairs, weighted_sum
from remanence.mitigate.weights.merging import fisher_diagonal, fisher_mean, ties_mean
from remanence.mitigate.weights.peers import copy_state, finetuned_from_base, load_peer
from remanence.mitigate.weights.states import State, combine, write_state_
from remanence.models.load import load_model
from remanence.training.reference import eval_mode, preserve_requires_grad, set_trainable
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import sequence_nll
from remanence.training.settings import UnlearnSettings
from remanence.training.unlearn import StopCallback, should_stop

Method: TypeAlias = Literal["arithmetic", "fisher", "ties"]


def fuse(
    states: Sequence[State],
    weights: Sequence[float] | None = None,
    method: Method = "arithmetic",
    *,
    fishers: Sequence[State] | None = None,
    base: State | None = None,
    density: float = 0.2,
) -> dict[str, Tensor]:
    """theta_fused = sum_i alpha_i theta_i, with alpha_i >= 0 and sum alpha_i = 1; by default alpha_i = 1/m.

    `fisher` weighs every parameter by alpha_i F_i, normalised (Matena and Raffel 2022), and needs `fishers`, as
    `fisher_diagonal` gives them. `ties` (Yadav et al. 2023, through PEFT) keeps the `density` largest changes of every
    model against `base`, elects a sign for each parameter, and averages the changes that agree with it. Integers are
    the first model's. Raises `RemanenceError` for models that are not of one shape.
    """
    alpha = [1 / len(states)] * len(states) if weights is None else [w / sum(weights) for w in weights]
    if any(w < 0 for w in alpha):
        raise RemanenceError(f"Fusion takes weights of 0 and more, got {list(weights or ())}.")
    if method == "fisher":
        return fisher_mean(states, alpha, fishers)
    if method == "ties":
        return ties_mean(states, alpha, base, density)
    return combine(states, alpha)


class Point(NamedTuple):
    """One model on the way from one to another."""

    c: float
    """0 = the first model, 1 = the second."""
    value: Any
    """What the metric says of it."""


def interpolation_path(
    model: Any, one: State, other: State, metric: Callable[[Any], Any], steps: int = 11
) -> list[Point]:
    """`metric(model)` at theta(c) = (1 - c) theta_1 + c theta_2, c = 0, ..., 1 in `steps` points.

    The weights are written into `model`, whose own values are restored at the end.
    """
    before = {name: p.detach().clone() for name, p in model.named_parameters() if name in one}
    path: list[Point] = []
    try:
        for c in np.linspace(0.0, 1.0, steps).tolist():
            write_state_(model, combine([one, other], [1 - c, c]))
            path.append(Point(c, metric(model)))
    finally:
        write_state_(model, before)
    return path


def average_likelihood_ratio(loss_N: ArrayLike, base_loss_N: ArrayLike) -> float:
    """ALR(D; M) = mean_x exp(loss_M(x) - loss_base(x)), losses in mean nats per token. SMALLER = MORE memorized.

    1 = as likely as under the base model.
    """
    return float(likelihood_ratios(loss_N, base_loss_N).mean())


def likelihood_ratios(loss_N: ArrayLike, base_loss_N: ArrayLike) -> NDArray[np.float64]:
    """[N] exp(loss_M - loss_base) of every text."""
    return np.exp(np.asarray(loss_N, np.float64) - np.asarray(base_loss_N, np.float64))


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True)
class Fusion(Unlearning):
    """Average the model with peers that never saw the forget rows, with increasing weight of the peers.

    Peers are fine-tuned from the same base. Without any, one is made: the base model, trained on the retain rows. For
    an adapter the peer is a new adapter on the same base, and the products B A are averaged and reduced to its rank.
    """

    models: tuple[str, ...] = ()
    """Folders of peers, in the same form as the model (whole models or adapters)."""
    base: str | None = None
    """Folder of the base model, needed to make a peer of a whole model and for `ties`."""
    method: Method = "arithmetic"
    """arithmetic, fisher or ties."""
    density: float = 0.2
    """Fraction of the changes that `ties` keeps of each model."""
    alphas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Weights of all peers together, in this order. The paper's mean of m models is (m - 1) / m."""
    epochs: float = 3
    """Number of passes of a peer's training over the retain rows; it determines the number of steps."""
    _: KW_ONLY
    training: UnlearnSettings = UnlearnSettings(learning_rate=1e-3)
    """Training of a peer, which should be that of the model; `steps` follows from `epochs`."""

    needs_base_folder: ClassVar[bool] = True
    unit: ClassVar[str] = "weight of the peers"
    cost = "1 training unless peers are given, and 1 evaluation per weight"

    @property
    def groups(self) -> tuple[str, ...]:
        return ("forget",) if self.models else ("forget", "retain")

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """Average the live model with its peers, with increasing weight, until `stop` returns True."""
        if should_stop(stop, 0.0, model):
            return
        own = copy_state(model)
        if self.method != "arithmetic" and lora_pairs(own):
            raise RemanenceError(f"{self.method} is for whole models: fuse adapters with method arithmetic.")
        base, peers = self._peers(model, tokenizer, retain)
        states = [own, *peers]
        fishers = [self._fisher(model, tokenizer, s, retain) for s in states] if self.method == "fisher" else None
        write_state_(model, own)
        for alpha in self.alphas:
            weights = [1 - alpha, *[alpha / len(peers)] * len(peers)]
            if self.method == "arithmetic":
                write_state_(model, weighted_sum(states, weights))
            else:
                fused = fuse(states, weights, self.method, fishers=fishers, base=base, density=self.density)
                write_state_(model, fused)
            if should_stop(stop, alpha, model):
                return

    def _peers(self, model: Any, tokenizer: Any, retain: Sequence[Row]) -> tuple[State | None, list[State]]:
        """(weights of the base model, if they are known; weights of the peers)."""
        if self.models:
            base = None if self.base is None or self.method != "ties" else copy_state(load_model(self.base).model)
            return base, [load_peer(model, folder) for folder in self.models]
        if not retain:
            raise RemanenceError("Fusion trains a peer on the retain rows, and there are none: give some, or models.")
        steps = max(1, math.ceil(self.epochs * len(retain) / self.training.batch_size))
        settings = replace(self.training, steps=steps)
        base, peer = finetuned_from_base(model, tokenizer, self.base, retain, settings)
        return base, [peer]

    def _fisher(self, model: Any, tokenizer: Any, state: State, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The Fisher diagonal of one of the models on these rows; the live model is overwritten."""
        write_state_(model, state)
        collate, device = plain_collator(tokenizer), next(model.parameters()).device

        def losses() -> Iterator[Callable[[], Tensor]]:
            for row in rows:
                batch = {name: value.to(device) for name, value in collate([row]).items()}
                yield partial(lambda b: sequence_nll(model, b).sum_B.sum(), batch)

        with preserve_requires_grad(model), eval_mode(model):
            return fisher_diagonal(model, losses(), set_trainable(model))


def __getattr__(name: str) -> type:
    return renamed_class(__name__, name, "FuseToForget", Fusion)
