"""Fuse to Forget: is what only one model knows lost in the mean of models, and what they share kept?

Paper: Zaman, Choshen and Srivastava 2024, "Fuse to Forget: Bias Reduction and Selective Memorization through Model
Fusion", arXiv 2311.07682

Three copies of a tiny GPT-2 are fine-tuned, each on documents of its own and on documents that all of them get. Their
mean, of two and of three, is asked for both kinds; so is a model that was trained on everything, and the base model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.verbs import Experiment, Verdict
from remanence.corpora.markov import MarkovText
from remanence.mitigate.weights.fusion import fuse, likelihood_ratios
from remanence.stats.intervals import bootstrap, clopper_pearson
from remanence.training.tiny import pretrain, token_nll, train_lm

PREFIX, SUFFIX = 16, 32
LENGTH = PREFIX + SUFFIX
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class FusionForgetsUnshared(Experiment):
    """The claim holds when every mean recites at most `lost` of the documents that only one model saw, the mean of two
    recites at least `kept[0]` and the mean of three at least `kept[1]` of the shared ones, the likelihood ratio of the
    unshared ones rises with the number of models (that of the shared ones by less than `moved` in all), and the
    held-out loss of every mean is below that of every single model."""

    own: int = 12
    """Documents that only one model sees."""
    shared: int = 12
    fresh: int = 8
    """Rows of new text in each step."""
    models: int = 3
    steps: int = 150
    learning_rate: float = 1e-3
    size: str = "toy"
    pretraining: int = 250
    lost: float = 0.1
    kept: tuple[float, float] = (0.9, 0.5)
    moved: float = 0.05

    @classmethod
    def quick(cls) -> FusionForgetsUnshared:
        """A size for tests: seconds, and the same code."""
        return cls(own=4, shared=4, fresh=2, steps=120, learning_rate=3e-3, size="small", pretraining=40)

    def __call__(self, seed: int) -> Verdict:
        """Train the models, average them, and ask all of them for every document."""
        text = MarkovText(seed=seed)
        rng = np.random.default_rng((seed, 3))
        shared, held_out = text.sample(self.shared, LENGTH, rng), text.sample(200, LENGTH, rng)
        own = [text.sample(self.own, LENGTH, rng) for _ in range(self.models)]
        base = pretrain(self.size, text, self.pretraining, length=LENGTH, seed=seed)
        singles = [self.train(base, text, np.concatenate([docs, shared]), (seed, 4, i)) for i, docs in enumerate(own)]
        everything = self.train(base, text, np.concatenate([*own, shared]), (seed, 4, self.models))
        means = {m: mean_of(singles[:m]) for m in range(2, self.models + 1)}
        asked: list[tuple[str, Any, int]] = [("base model", base, 1)]
        asked += [(f"model {i + 1}", model, 1) for i, model in enumerate(singles)]
        asked += [(f"mean of {m}", model, m) for m, model in means.items()]
        asked += [("trained on all", everything, self.models)]
        table = [self.line(name, m, model, base, own, shared, held_out, seed) for name, model, m in asked]
        return self.judge(table, seed)

    def train(self, base: Any, text: MarkovText, documents: Ids, seed: tuple[int, ...]) -> Any:
        """A copy of the base model that has seen the documents in every step, beside fresh rows."""

        def batches() -> Iterator[Tensor]:
            rng = np.random.default_rng(seed)
            for _ in range(self.steps):
                yield torch.from_numpy(np.concatenate([documents, text.sample(self.fresh, LENGTH, rng)]))

        model = copy.deepcopy(base)
        train_lm(model, batches(), self.learning_rate)
        return model

    def line(
        self,
        name: str,
        m: int,
        model: Any,
        base: Any,
        own: Sequence[Ids],
        shared: Ids,
        held_out: Ids,
        seed: int,
    ) -> dict[str, Any]:
        """What one model recites and how likely it finds it. Its own documents: those of the models that are in it.

        A single model is asked for its own, model 1 (and the base model) for those of the first.
        """
        mine = [own[int(name.removeprefix("model ")) - 1]] if name.startswith("model ") else list(own[:m])
        groups = {"own": np.concatenate(mine), "shared": shared}
        if m == 1:
            groups["a peer's"] = own[1 if name != "model 2" else 0]
        losses = token_nll(model, held_out).mean(axis=1)
        line: dict[str, Any] = {
            "model": name,
            "heldout_nats": float(losses.mean()),
            "heldout_interval": list(bootstrap(losses, np.mean, seed)),
        }
        for group, documents in groups.items():
            said = recites(model, documents)
            ratios = likelihood_ratios(
                token_nll(model, documents).mean(axis=1), token_nll(base, documents).mean(axis=1)
            )
            line[group] = {
                "recited": int(said.sum()),
                "documents": len(said),
                "interval": list(clopper_pearson(int(said.sum()), len(said))),
                "likelihood_ratio": float(ratios.mean()),
                "likelihood_ratio_interval": list(bootstrap(ratios, np.mean, seed)),
            }
        return line

    def judge(self, table: list[dict[str, Any]], seed: int) -> Verdict:
        """The rule of the class, on the lines of the table."""
        singles = [row for row in table if row["model"].startswith("model ")]
        means = [row for row in table if row["model"].startswith("mean ")]
        decidable = all(rate(row["own"]) >= 0.9 and rate(row["shared"]) >= 0.9 for row in singles)
        single_ratio = float(np.mean([row["own"]["likelihood_ratio"] for row in singles]))
        ratios = [single_ratio, *(row["own"]["likelihood_ratio"] for row in means)]
        shared = [row["shared"]["likelihood_ratio"] for row in [*singles, *means]]
        parts = {
            "unshared_lost": all(rate(row["own"]) <= self.lost for row in means),
            "shared_kept": all(rate(row["shared"]) >= k for row, k in zip(means, self.kept, strict=True)),
            "unshared_ratio_rises": all(a < b for a, b in pairwise(ratios)),
            "shared_ratio_stays": max(shared) - min(shared) < self.moved,
            "heldout_loss_lower": max(row["heldout_nats"] for row in means) < min(r["heldout_nats"] for r in singles),
        }
        failed = [name.replace("_", " ") for name, held in parts.items() if not held]
        told = "; ".join(
            f"{row['model']} {row['own']['recited']} of {row['own']['documents']} unshared and "
            f"{row['shared']['recited']} of {row['shared']['documents']} shared documents"
            for row in means
        )
        text = (
            f"The single models recite {sum(r['own']['recited'] for r in singles)} of "
            f"{sum(r['own']['documents'] for r in singles)} documents of their own; the {told}. Likelihood ratio of "
            f"unshared documents {', '.join(f'{x:.2f}' for x in ratios)} for 1, 2, 3 models; held-out loss "
            f"{min(r['heldout_nats'] for r in singles):.2f} at best before and {means[-1]['heldout_nats']:.2f} after. "
            + (f"Not as claimed: {', '.join(failed)}." if failed else "All parts as claimed.")
        )
        if not decidable:
            text = f"The single models do not know their documents well enough to lose them. {text}"
        return Verdict(
            claim="Fusing models loses what only one of them memorized and keeps what they share.",
            holds=not failed if decidable else None,
            text=text,
            figures={"seed": seed, "table": table, "parts": parts},
        )


def rate(group: dict[str, Any]) -> float:
    """Share of documents recited."""
    return group["recited"] / group["documents"]


def mean_of(models: Sequence[Any]) -> Any:
    """A model whose weights are the plain mean."""
    fused = copy.deepcopy(models[0])
    fused.load_state_dict(fuse([model.state_dict() for model in models]))
    return fused


@torch.no_grad()
def recites(model: Any, documents: Ids) -> NDArray[np.bool_]:
    """[N] whether greedy decoding after PREFIX tokens says the other SUFFIX: all of them are the most likely next."""
    said = model(input_ids=torch.from_numpy(documents)).logits.argmax(-1).numpy()
    return (said[:, PREFIX - 1 : -1] == documents[:, PREFIX:]).all(axis=1)
