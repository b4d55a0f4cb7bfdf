"""Fuse to Forget: is what only one model knows lost in the mean of models, and what they share kept?

Paper: Zaman, Choshen and Srivastava 2024, "Fuse to Forget: Bias Reduction and Selective Memorization through Model
Fusion", arXiv 2311.07682

Three copies of a tiny GPT-2 are fine-tuned, each on documents of its own and on documents that all of them get. Their
mean, of two and of three, is asked for both kinds; so is a model that was trained on everything, and the base model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np

from remanence.corpora.markov import Ids, MarkovText
from remanence.mitigate.weights.fusion import fuse, likelihood_ratios
from remanence.replications.documents import LENGTH, learned, recites
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figures, Row, mean, share
from remanence.testbeds.markov_lm import MarkovLM
from remanence.training.tiny import token_nll


class Arm(NamedTuple):
    """A model by the single models that it is made of."""

    kind: str
    """base, single, mean, or all: trained on everything."""
    members: tuple[int, ...]
    """Whose documents are its own."""
    peer: int | None = None
    """A single model that is not in it."""


@dataclass
class Shared:
    """What all arms start from."""

    text: MarkovText
    own: list[Ids]
    """The documents of each single model."""
    shared: Ids
    held_out: Ids
    base: Any
    singles: dict[int, Any] = field(default_factory=dict[int, Any])
    """Single models that are trained already."""


@dataclass(frozen=True)
class FusionForgetsUnshared(Experiment):
    """The claim holds when every mean recites at most `lost` of the documents that only one model saw, the mean of two
    recites at least `kept[0]` and the mean of three at least `kept[1]` of the shared ones, the likelihood ratio of the
    unshared ones rises with the number of models (that of the shared ones by less than `moved` in all), and the
    held-out loss of every mean is below that of every single model."""

    claim = "Fusing models loses what only one of them memorized and keeps what they share."
    system = "fusion"
    sizes: ClassVar = {
        "quick": {"own": 4, "shared_documents": 4, "fresh": 2, "steps": 120, "learning_rate": 3e-3, "model": "small",
                  "pretraining": 40}
    }  # fmt: skip

    own: int = 12
    """Documents that only one model sees."""
    shared_documents: int = 12
    """Documents that all models see."""
    fresh: int = 8
    """Rows of new text in each step."""
    models: int = 3
    steps: int = 150
    learning_rate: float = 1e-3
    model: str = "toy"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 250
    lost: float = 0.1
    kept: tuple[float, float] = (0.9, 0.5)
    moved: float = 0.05

    def shared(self, seed: int) -> Shared:
        """Documents and the base model."""
        text, rng = MarkovText(seed=seed), np.random.default_rng((seed, 3))
        shared, held_out = text.sample(self.shared_documents, LENGTH, rng), text.sample(200, LENGTH, rng)
        own = [text.sample(self.own, LENGTH, rng) for _ in range(self.models)]
        base = MarkovLM(text, self.model, self.pretraining, length=LENGTH, seed=seed).model()
        return Shared(text, own, shared, held_out, base)

    def arms(self) -> dict[str, Arm]:
        """The base model, the single models, their means, and a model that was trained on everything."""
        return {
            "base model": Arm("base", (0,), 1),
            **{f"model {i + 1}": Arm("single", (i,), 0 if i == 1 else 1) for i in range(self.models)},
            **{f"mean of {m}": Arm("mean", tuple(range(m))) for m in range(2, self.models + 1)},
            "trained on all": Arm("all", tuple(range(self.models))),
        }

    def train(self, arm: Arm, shared: Shared, seed: int) -> tuple[Any, Arm]:
        """The model of an arm. A mean trains the single models that are not there yet."""
        if arm.kind == "base":
            return shared.base, arm
        if arm.kind == "all":
            return self.fine_tuned(shared, [*shared.own, shared.shared], (seed, 4, self.models)), arm
        for i in arm.members:
            if i not in shared.singles:
                shared.singles[i] = self.fine_tuned(shared, [shared.own[i], shared.shared], (seed, 4, i))
        singles = [shared.singles[i] for i in arm.members]
        return (mean_of(singles) if arm.kind == "mean" else singles[0]), arm

    def fine_tuned(self, shared: Shared, documents: Sequence[Ids], seed: tuple[int, ...]) -> Any:
        """A copy of the base model that has learned the documents."""
        rows = np.concatenate(documents)
        return learned(shared.base, shared.text, rows, self.steps, self.fresh, self.learning_rate, seed)

    def measure(self, trained: tuple[Any, Arm], shared: Shared, seed: int) -> Row:
        """What the model recites, and how likely it finds it: documents of its own, of a peer, shared ones."""
        model, arm = trained
        groups = {"own": np.concatenate([shared.own[i] for i in arm.members]), "shared": shared.shared}
        if arm.peer is not None:
            groups["a peer's"] = shared.own[arm.peer]
        row: Row = {"held-out loss": mean(token_nll(model, shared.held_out).mean(axis=1), seed, "nats")}
        for group, documents in groups.items():
            losses, base = (token_nll(m, documents).mean(axis=1) for m in (model, shared.base))
            row[f"{group}, recited"] = share(recites(model, documents))
            row[f"{group}, likelihood ratio"] = mean(likelihood_ratios(losses, base), seed)
        return row

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; single models that know less than 90 % of their documents have nothing to lose."""
        singles = [row for name, row in figures.items() if name.startswith("model ")]
        means = [row for name, row in figures.items() if name.startswith("mean ")]
        own, shared = "own, recited", "shared, recited"
        known = sum(row[own].hits for row in singles), sum(row[own].n or 0 for row in singles)
        single = float(np.mean([row["own, likelihood ratio"].value for row in singles]))
        ratios = [single, *(row["own, likelihood ratio"].value for row in means)]
        of_shared = [row["shared, likelihood ratio"].value for row in [*singles, *means]]
        losses, best = [row["held-out loss"].value for row in means], min(r["held-out loss"].value for r in singles)
        recited = {c: " and ".join(row[c].short for row in means) for c in (own, shared)}
        return [
            Part("The single models know their documents",
                 all(row[own].value >= 0.9 and row[shared].value >= 0.9 for row in singles),
                 f"the single models recite {known[0]} of {known[1]} documents of their own", "control"),
            Part("Unshared documents are lost", all(row[own].value <= self.lost for row in means),
                 f"The means of 2 and 3 models recite {recited[own]} unshared documents"),
            Part("Shared documents are kept",
                 all(row[shared].value >= k for row, k in zip(means, self.kept, strict=True)),
                 f"They recite {recited[shared]} shared documents"),
            Part("The likelihood ratio of unshared documents rises", all(a < b for a, b in pairwise(ratios)),
                 f"Likelihood ratio of unshared documents {', '.join(f'{x:.2f}' for x in ratios)} for 1, 2, 3 models"),
            Part("That of shared documents stays", max(of_shared) - min(of_shared) < self.moved,
                 f"Of shared documents it lies between {min(of_shared):.2f} and {max(of_shared):.2f}"),
            Part("The held-out loss is lower", max(losses) < best,
                 f"Held-out loss {best:.2f} nats for the best single model, {losses[-1]:.2f} for the last mean"),
        ]  # fmt: skip


def mean_of(models: Sequence[Any]) -> Any:
    """A model whose weights are the plain mean."""
    fused = copy.deepcopy(models[0])
    fused.load_state_dict(fuse([model.state_dict() for model in models]))
    return fused
