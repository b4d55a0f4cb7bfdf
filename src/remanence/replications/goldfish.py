"""Goldfish lowers extraction: does a goldfish recite less than a plain model, and know the language as well?

Paper: Hans et al. 2024, "Be like a Goldfish, Don't Memorize! Mitigating Memorization in Generative LLMs",
arXiv 2406.10209

A tiny GPT-2 that knows a Markov language is trained on 24 documents, again and again among fresh text, each time at
another place of its row. Greedy continuations of 32 tokens tell what came back. The goldfish is given as many steps as
the plain model, and then as many supervised tokens; a control never sees the documents; a random and a static mask
show why the mask must follow the words.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.corpora.markov import Ids, MarkovText
from remanence.mitigate.training.goldfish import apply_goldfish
from remanence.mitigate.training.goldfish_mask import Strategy, goldfish_mask
from remanence.replications.documents import LENGTH, PREFIX, SUFFIX
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figures, Row, mean, number, paired, share
from remanence.testbeds.markov_lm import MarkovLM
from remanence.training.tiny import LEARNING_RATES, token_nll, train_lm

ROOM = 16
"""How far a document may be moved within its row, tokens."""


class Arm(NamedTuple):
    """One way to train."""

    strategy: Strategy | None
    sees_documents: bool = True
    equal_tokens: bool = False
    """Train k/(k-1) times as many steps, so that as many targets carry loss as without a mask."""


PLAIN, GOLDFISH = "plain loss", ("goldfish, equal steps", "goldfish, equal tokens")
ARMS = {
    "never trained on them": Arm(None, sees_documents=False),
    PLAIN: Arm(None),
    GOLDFISH[0]: Arm("hash"),
    GOLDFISH[1]: Arm("hash", equal_tokens=True),
    "random mask": Arm("random"),
    "static mask": Arm("static"),
}


class Shared(NamedTuple):
    """What all arms start from."""

    text: MarkovText
    documents: Ids
    held_out: Ids
    base: Any


@dataclass(frozen=True)
class GoldfishLowersExtraction(Experiment):
    """The claim holds when both goldfish recite fewer documents than the plain model (95 % interval of the difference
    below 0) at a held-out loss at most `tolerance` above its own."""

    claim = "Goldfish loss lowers extraction at equal held-out loss."
    system = "goldfish"
    sizes: ClassVar = {"quick": {"documents": 8, "steps": 130, "fresh": 2, "model": "small", "pretraining": 40}}

    k: int = 4
    documents: int = 24
    steps: int = 150
    fresh: int = 8
    """Rows of new text in each step."""
    tolerance: float = 0.05
    """Nats per token."""
    model: str = "medium"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 250
    """Steps on fresh text beforehand."""

    def shared(self, seed: int) -> Shared:
        """Documents, held-out documents, and a base model that knows the language."""
        text, rng = MarkovText(seed=seed), np.random.default_rng((seed, 3))
        documents, held_out = text.sample(self.documents, LENGTH, rng), text.sample(200, LENGTH, rng)
        base = MarkovLM(text, self.model, self.pretraining, length=LENGTH + ROOM, seed=seed).model()
        return Shared(text, documents, held_out, base)

    def arms(self) -> dict[str, Arm]:
        """The control, plain training, the goldfish, and masks that do not follow the words."""
        return ARMS

    def train(self, arm: Arm, shared: Shared, seed: int) -> tuple[Any, int]:
        """The model of an arm, and how many targets carried loss."""
        steps = round(self.steps * self.k / (self.k - 1)) if arm.equal_tokens else self.steps
        draws = iter(range(seed * 1_000_000, (seed + 1) * 1_000_000))

        def prepare(ids: Tensor) -> tuple[Tensor, Tensor]:
            if arm.strategy is None:
                return ids, ids
            if arm.strategy == "random":
                return ids, apply_goldfish(ids, self.k, arm.strategy, seed=next(draws))
            return ids, apply_goldfish(ids, self.k, arm.strategy)

        def batches() -> Iterator[Tensor]:
            rng = np.random.default_rng((seed, 4))
            for _ in range(steps):
                rows = shared.text.sample(self.documents + self.fresh, LENGTH + ROOM, rng)
                if arm.sees_documents:
                    place(shared.documents, rows, rng.integers(0, ROOM, size=self.documents))
                yield torch.from_numpy(rows)

        model = copy.deepcopy(shared.base)
        history = train_lm(model, batches(), LEARNING_RATES[self.model], prepare=prepare)
        return model, sum(step.tokens for step in history)

    def measure(self, trained: tuple[Any, int], shared: Shared, seed: int) -> Row:
        """Documents recited, held-out loss, and what became of the tokens that the mask drops."""
        model, supervised = trained
        hits = greedy_hits(model, shared.text, shared.documents, seed)
        return self.row(
            hits,
            token_nll(model, shared.held_out).mean(axis=1),
            token_nll(model, shared.documents)[:, PREFIX - 1 :],
            shared.documents,
            supervised,
            seed,
        )

    def row(
        self,
        hits: NDArray[np.bool_],
        heldout: NDArray[np.floating[Any]],
        nll: NDArray[np.float32],
        documents: Ids,
        supervised: int,
        seed: int,
    ) -> Row:
        """Figures from hits [N, SUFFIX], held-out losses [H] and the losses of the suffix tokens [N, SUFFIX]."""
        kept = goldfish_mask(torch.from_numpy(documents), self.k).numpy()[:, PREFIX:]
        first_dropped = np.where(kept.all(1), SUFFIX, (~kept).argmax(1))
        first_missed = np.where(hits.all(1), SUFFIX, (~hits).argmax(1))
        return {
            "recited": share(hits.all(axis=1)),
            "held-out loss": mean(heldout, seed, "nats"),
            "loss where goldfish learns": number(nll[kept].mean(), "nats"),
            "loss where goldfish drops": number(nll[~kept].mean(), "nats"),
            "right up to the first drop": share(first_missed >= first_dropped),
            "supervised tokens": number(supervised),
        }

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Both goldfish against the plain model, over the same documents."""
        plain = figures[PLAIN]
        columns = ("recited", "held-out loss")
        return {
            f"{name}, minus plain": {c: paired(figures[name][c], plain[c], seed) for c in columns} for name in GOLDFISH
        }

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; a plain model that recites less than 30 % leaves nothing to compare."""
        plain = figures[PLAIN]["recited"]
        parts = [
            Part("The plain model recites 30 %", plain.value >= 0.3, f"the plain model recites {plain}", "control")
        ]
        for name in GOLDFISH:
            recited, loss = (figures[f"{name}, minus plain"][column] for column in ("recited", "held-out loss"))
            told = f"The {name} recites {figures[name]['recited'].short} documents, plain training {plain.short}"
            parts += [
                Part(f"The {name} recites fewer", recited.high < 0, f"{told}, {recited}"),
                Part(f"The {name} is as good", loss.value <= self.tolerance, f"Its held-out loss is {loss} from plain"),
            ]
        return parts


def place(documents: Ids, rows: Ids, offsets: NDArray[np.int64]) -> None:
    """Write each document into its row at its offset, in place."""
    at = offsets[:, None] + np.arange(documents.shape[1])
    np.put_along_axis(rows[: len(documents)], at, documents, axis=1)


@torch.no_grad()
def greedy_hits(model: Any, text: MarkovText, documents: Ids, seed: int) -> NDArray[np.bool_]:
    """[N, SUFFIX] whether the most likely next token is the document's own, its true past given.

    Every document stands in a row of its own, at a random offset, after text that no training row had.
    """
    rng = np.random.default_rng((seed, 5))
    rows = text.sample(len(documents), LENGTH + ROOM, rng)
    offsets = rng.integers(0, ROOM, size=len(documents))
    place(documents, rows, offsets)
    choices = model(input_ids=torch.from_numpy(rows)).logits.argmax(-1).numpy()
    before = offsets[:, None] + PREFIX + np.arange(SUFFIX) - 1
    return np.take_along_axis(choices, before, axis=1) == documents[:, PREFIX:]
