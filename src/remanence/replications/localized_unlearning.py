"""Localized unlearning: are the highest-gradient weights enough to forget a document, and does that spare the others?

Paper: Stoehr et al. 2024, "Localizing Paragraph Memorization in Language Models", arXiv 2403.19851

A tiny GPT-2 that knows a Markov language learns 24 documents by heart. Then one of them at a time is unlearned, with
the paper's contrastive objective: in all matrices, in the hundredth of their entries with the largest gradient, and in
a random hundredth. What is left of the document, of the other documents and of texts that the model goes on with by
itself is looked at after every step.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.corpora.markov import Ids, MarkovText
from remanence.mitigate.weights.localized import contrastive_objective, sparse_finetune
from remanence.mitigate.weights.masks import Mask, block_matrices, gradients, random_mask, topk_mask
from remanence.replications.documents import LENGTH, PREFIX, SUFFIX, correct, learned
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figure, Figures, Row, difference, mean, number, share
from remanence.stats.intervals import bootstrap
from remanence.testbeds.markov_lm import MarkovLM


class Arm(NamedTuple):
    """Which weights are optimised, and how."""

    mask: str | None
    """gradient, random, or None for all block matrices."""
    rate: float = 1.0
    """In units of the experiment's learning rate."""
    steps: int = 1
    """In units of the experiment's steps."""


ALL, GENTLE, FEW, RANDOM = "all weights", "all weights, a tenth of the rate", "highest gradient", "random"
ARMS = {ALL: Arm(None), GENTLE: Arm(None, 0.1, 4), FEW: Arm("gradient"), RANDOM: Arm("random")}


class Shared(NamedTuple):
    """What all arms start from."""

    model: Any
    documents: Ids
    own: Ids
    """Texts that the model continues by itself; the first half is in the objective."""


@dataclass(frozen=True)
class FewWeightsForget(Experiment):
    """The claim holds when, after `steps` steps, the highest-gradient weights leave at most `forgotten` tokens of the
    document while random ones take at most `harmless`, and more is kept of other texts than when all weights
    are optimised: after as many steps, and where each first has the document down to `forgotten`, at the same rate and
    at a tenth of it (95 % interval of each difference above 0). Kept tokens: mean over the other documents and over
    texts that the model goes on with by itself, half and half."""

    claim = "Unlearning only the highest-gradient weights forgets as well and spares more."
    system = "localized"
    sizes: ClassVar = {"quick": {"documents": 6, "unlearned": 2, "kept": 3, "fresh": 4, "pretraining": 80}}

    documents: int = 24
    unlearned: int = 8
    """How many of them are unlearned, one at a time, each from the same model."""
    kept: int = 10
    """Texts in the objective that the model is to go on with as before; as many again are only looked at."""
    fraction: float = 0.01
    steps: int = 10
    learning_rate: float = 1e-3
    change_weight: float = 0.1
    training: int = 150
    training_rate: float = 1e-3
    fresh: int = 8
    model: str = "toy"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 250
    forgotten: int = 12
    """Tokens of 32; the paper's 442 paragraphs kept 27 of 50."""
    harmless: int = 2

    def shared(self, seed: int) -> Shared:
        """A model that knows the documents by heart, and texts of its own."""
        text, rng = MarkovText(seed=seed), np.random.default_rng((seed, 3))
        documents = text.sample(self.documents, LENGTH, rng)
        base = MarkovLM(text, self.model, self.pretraining, length=LENGTH, seed=seed).model()
        model = learned(base, text, documents, self.training, self.fresh, self.training_rate, (seed, 4))
        return Shared(model, documents, continued(model, text.sample(2 * self.kept, PREFIX, rng)))

    def arms(self) -> dict[str, Arm]:
        """All weights at two rates, the highest gradients, and a random share."""
        return ARMS

    def train(self, arm: Arm, shared: Shared, seed: int) -> NDArray[np.float64]:
        """[unlearned, steps + 1, 3] what is left step by step, of one document after the other."""
        return np.stack([self.unlearn(arm, shared, place, seed) for place in range(self.unlearned)])

    def unlearn(self, arm: Arm, shared: Shared, place: int, seed: int) -> NDArray[np.float64]:
        """[steps + 1, 3] tokens right until the first mistake: the document, the others (mean), own texts (mean).

        The own texts looked at are not the ones in the objective.
        """
        model = copy.deepcopy(shared.model)
        parameters = matrices(model)
        change, keep = shared.documents[place : place + 1], shared.own[: self.kept]
        with torch.no_grad():
            before = suffix_logits(shared.model, keep)

        def loss() -> Tensor:
            nll = suffix_nll(model, change)
            return contrastive_objective(nll, suffix_logits(model, keep), before, change_weight=self.change_weight)

        num = round(self.fraction * sum(p.numel() for p in parameters.values()))
        mask: Mask | None = None
        if arm.mask == "gradient":
            mask = topk_mask(gradients(loss(), parameters), num)
        elif arm.mask == "random":
            mask = random_mask(parameters, num, seed)
        trail: list[tuple[float, float, float]] = []

        def record(step: int) -> None:
            right = right_until(model, np.concatenate([shared.documents, shared.own[self.kept :]]))
            others = np.delete(right[: self.documents], place)
            trail.append((float(right[place]), float(others.mean()), float(right[self.documents :].mean())))

        record(0)
        sparse_finetune(parameters, loss, mask, self.steps * arm.steps, self.learning_rate * arm.rate, record)
        return np.array(trail)

    def measure(self, trained: NDArray[np.float64], shared: Shared, seed: int) -> Row:
        """Tokens that are left after all steps, and where the document is first forgotten."""
        end, gone = trained[:, -1], at_forgotten(trained, self.forgotten)
        there = gone[~np.isnan(gone[:, 0])]
        columns = ("document", "other documents", "own texts")
        return {
            **{f"{c}, left": mean(end[:, i], seed, "tokens") for i, c in enumerate(columns)},
            "forgotten": share(~np.isnan(gone[:, 0])),
            **{f"{c}, when forgotten": mean(there[:, i], seed, "tokens") for i, c in enumerate(columns)},
            "document, before": number(trained[:, 0, 0].mean(), "tokens", sample=(end, gone)),
        }

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Tokens kept of other texts by the highest gradients, minus all weights."""
        ends, gone = ({name: row["document, before"].sample[i] for name, row in figures.items()} for i in (0, 1))
        return {
            "equal steps": kept(ends[FEW], ends[ALL], seed),
            "equal forgetting": kept(gone[FEW], gone[ALL], seed),
            "equal forgetting, a tenth of the rate": kept(gone[FEW], gone[GENTLE], seed),
        }

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; a model that knows less than 90 % of the tokens has nothing to forget."""
        left = {name: figures[name]["document, left"] for name in (FEW, ALL, RANDOM)}
        before = figures[FEW]["document, before"]
        taken = figures[RANDOM]["document, before"].value - left[RANDOM].value
        spared = {name: row["kept"] for name, row in figures.items() if name not in ARMS}
        return [
            Part("The model knows the documents", before.value >= 0.9 * SUFFIX,
                 f"the model gets {before.short} of {SUFFIX} right", "control"),
            Part("The highest gradients forget", left[FEW].value <= self.forgotten,
                 f"The highest-gradient {self.fraction:.0%} of the weights leave {left[FEW].short} of the document, "
                 f"all weights {left[ALL].short}"),
            Part("Random weights do not", taken <= self.harmless,
                 f"A random {self.fraction:.0%} leaves {left[RANDOM].short}"),
            *(Part(f"More is kept at {name}", gap.low > 0,
                   f"Kept of other texts at {name}: {gap} more than all weights")
              for name, gap in spared.items()),
        ]  # fmt: skip


def kept(one: NDArray[np.float64], other: NDArray[np.float64], seed: int) -> Row:
    """Tokens kept of other texts, one way minus the other, over the documents that both forgot."""
    both = ~(np.isnan(one[:, 1]) | np.isnan(other[:, 1]))
    gaps = (one[both] - other[both])[:, 1:]
    if len(gaps) < 2:
        return dict.fromkeys(
            ("kept", "of other documents", "of own texts"), Figure(np.nan, unit="tokens", kind="difference")
        )
    return {
        "kept": difference(gaps.mean(), bootstrap(gaps.mean(axis=1), np.mean, seed), len(gaps), "tokens"),
        "of other documents": difference(gaps[:, 0].mean(), bootstrap(gaps[:, 0], np.mean, seed), len(gaps), "tokens"),
        "of own texts": difference(gaps[:, 1].mean(), bootstrap(gaps[:, 1], np.mean, seed), len(gaps), "tokens"),
    }


def at_forgotten(trail: NDArray[np.float64], forgotten: int) -> NDArray[np.float64]:
    """[documents, 3] the trail at the first step with at most so many tokens left; NaN where there is none."""
    down: NDArray[np.bool_] = np.asarray(trail[:, :, 0] <= forgotten)
    found = trail[np.arange(len(trail)), down.argmax(axis=1)]
    reached: NDArray[np.bool_] = np.any(down, axis=1, keepdims=True)
    return np.where(reached, found, np.nan)


def matrices(model: Any) -> dict[str, Tensor]:
    """The block matrices of a model, which alone require gradients."""
    named: dict[str, Any] = dict(model.named_parameters())
    inside = block_matrices(model, named)
    for name, parameter in named.items():
        parameter.requires_grad_(name in inside)
    return {name: named[name] for name in inside}


def suffix_logits(model: Any, ids: Ids) -> Tensor:
    """[B, SUFFIX, V] what the model thinks of each suffix token."""
    return model(input_ids=torch.from_numpy(ids)).logits[:, PREFIX - 1 : -1]


def suffix_nll(model: Any, ids: Ids) -> Tensor:
    """[B] mean loss of the suffix tokens (nats)."""
    logits = suffix_logits(model, ids).transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids[:, PREFIX:]), reduction="none").mean(1)


def right_until(model: Any, ids: Ids) -> NDArray[np.int64]:
    """[N] suffix tokens that greedy decoding gets right before its first mistake."""
    return np.cumprod(correct(model, ids), axis=1).sum(axis=1)


@torch.no_grad()
def continued(model: Any, prompts: Ids) -> Ids:
    """[N, LENGTH] prompts with what the model says next, greedily."""
    ids = torch.from_numpy(prompts)
    for _ in range(SUFFIX):
        ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    return ids.numpy()
