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
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.verbs import Experiment, Verdict
from remanence.corpora.markov import MarkovText
from remanence.mitigate.training.goldfish import apply_goldfish
from remanence.mitigate.training.goldfish_mask import Strategy, goldfish_mask
from remanence.stats.intervals import Difference, bootstrap, clopper_pearson, paired_difference
from remanence.training.tiny import LEARNING_RATES, pretrain, token_nll, train_lm

PREFIX, SUFFIX, ROOM = 16, 32, 16
"""Tokens given, tokens to be said, and how far a document may be moved within its row."""
LENGTH = PREFIX + SUFFIX

Ids = NDArray[np.int64]


class Arm(NamedTuple):
    """One way to train."""

    name: str
    strategy: Strategy | None
    sees_documents: bool = True
    equal_tokens: bool = False
    """Train k/(k-1) times as many steps, so that as many targets carry loss as without a mask."""


ARMS = (
    Arm("never trained on them", None, sees_documents=False),
    Arm("plain loss", None),
    Arm("goldfish, equal steps", "hash"),
    Arm("goldfish, equal tokens", "hash", equal_tokens=True),
    Arm("random mask", "random"),
    Arm("static mask", "static"),
)


@dataclass(frozen=True)
class GoldfishLowersExtraction(Experiment):
    """The claim holds when both goldfish recite fewer documents than the plain model (95 % interval of the difference
    below 0) at a held-out loss at most `tolerance` above its own."""

    k: int = 4
    documents: int = 24
    steps: int = 150
    fresh: int = 8
    """Rows of new text in each step."""
    tolerance: float = 0.05
    """Nats per token."""
    size: str = "medium"
    pretraining: int = 250
    """Steps on fresh text beforehand."""

    @classmethod
    def quick(cls) -> GoldfishLowersExtraction:
        """A size for tests: seconds, and the same code."""
        return cls(documents=8, steps=130, fresh=2, size="small", pretraining=40)

    def __call__(self, seed: int) -> Verdict:
        """Train the six arms from one base model and compare them."""
        text = MarkovText(seed=seed)
        rng = np.random.default_rng((seed, 3))
        documents, held_out = text.sample(self.documents, LENGTH, rng), text.sample(200, LENGTH, rng)
        base = pretrain(self.size, text, self.pretraining, length=LENGTH + ROOM, seed=seed)
        exact: dict[str, NDArray[np.bool_]] = {}
        losses: dict[str, NDArray[np.float64]] = {}
        table: list[dict[str, Any]] = []
        for arm in ARMS:
            model = copy.deepcopy(base)
            supervised = self.train(model, arm, text, documents, seed)
            said = greedy_hits(model, text, documents, seed)
            exact[arm.name] = np.asarray(said.all(axis=1))
            losses[arm.name] = token_nll(model, held_out).mean(axis=1).astype(np.float64)
            nll = token_nll(model, documents)[:, PREFIX - 1 :]
            line = self.line(said, losses[arm.name], nll, documents, seed)
            table.append({"arm": arm.name, "supervised_tokens": supervised, **line})
        return self.judge(exact, losses, table, seed)

    def train(self, model: Any, arm: Arm, text: MarkovText, documents: Ids, seed: int) -> int:
        """Train one arm in place; returns how many targets carried loss."""
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
                rows = text.sample(self.documents + self.fresh, LENGTH + ROOM, rng)
                if arm.sees_documents:
                    place(documents, rows, rng.integers(0, ROOM, size=self.documents))
                yield torch.from_numpy(rows)

        return sum(step.tokens for step in train_lm(model, batches(), LEARNING_RATES[self.size], prepare=prepare))

    def line(
        self,
        said: NDArray[np.bool_],
        losses: NDArray[np.float64],
        nll: NDArray[np.float32],
        documents: Ids,
        seed: int,
    ) -> dict[str, Any]:
        """One line of the table, from hits [N, SUFFIX], held-out losses and the losses of the suffix tokens."""
        exact = np.asarray(said.all(axis=1))
        kept = goldfish_mask(torch.from_numpy(documents), self.k).numpy()[:, PREFIX:]
        first_dropped = np.where(kept.all(1), SUFFIX, (~kept).argmax(1))
        first_missed = np.where(said.all(1), SUFFIX, (~said).argmax(1))
        return {
            "extracted": int(exact.sum()),
            "documents": len(exact),
            "extraction_rate": float(exact.mean()),
            "extraction_interval": list(clopper_pearson(int(exact.sum()), len(exact))),
            "heldout_nats": float(losses.mean()),
            "heldout_interval": list(bootstrap(losses, np.mean, seed)),
            "nats_where_goldfish_learns": float(nll[kept].mean()),
            "nats_where_goldfish_drops": float(nll[~kept].mean()),
            "leaves_at_or_after_first_drop": float((first_missed >= first_dropped).mean()),
        }

    def judge(
        self,
        exact: dict[str, NDArray[np.bool_]],
        losses: dict[str, NDArray[np.float64]],
        table: list[dict[str, Any]],
        seed: int,
    ) -> Verdict:
        """Both goldfish against the plain model, over the same documents."""
        plain, holds = "plain loss", True
        differences: dict[str, Any] = {}
        for name in ("goldfish, equal steps", "goldfish, equal tokens"):
            rate: Difference = paired_difference(exact[name], exact[plain])
            gap = losses[name] - losses[plain]
            differences[name] = {
                "extraction": rate.value,
                "extraction_interval": list(rate.interval),
                "heldout_nats": float(gap.mean()),
                "heldout_interval": list(bootstrap(gap, np.mean, seed)),
            }
            holds = holds and rate.interval.high < 0 and float(gap.mean()) <= self.tolerance
        decidable = bool(exact[plain].mean() >= 0.3)
        rates = {name: f"{flags.mean():.0%}" for name, flags in exact.items()}
        worst = max(d["heldout_nats"] for d in differences.values())
        text = (
            f"The plain model recites {rates[plain]} of {self.documents} documents, the goldfish "
            f"{rates['goldfish, equal steps']} (equal steps) and {rates['goldfish, equal tokens']} (equal tokens), at "
            f"a held-out loss {worst:+.3f} nats from the plain model's at worst; a random mask {rates['random mask']}, "
            f"a static one {rates['static mask']}, the control {rates['never trained on them']}."
        )
        if not decidable:
            text = f"The plain model recites too little to compare ({rates[plain]}). {text}"
        return Verdict(
            claim="Goldfish loss lowers extraction at equal held-out loss.",
            holds=holds if decidable else None,
            text=text,
            figures={"seed": seed, "table": table, "goldfish_minus_plain": differences},
        )


def place(documents: Ids, rows: Ids, offsets: NDArray[np.int64]) -> None:
    """Write each document into its row at its offset, in place."""
    at = offsets[:, None] + np.arange(documents.shape[1])
    np.put_along_axis(rows[: len(documents)], at, documents, axis=1)


def _moved(text: MarkovText, documents: Ids, seed: int) -> tuple[Ids, NDArray[np.int64]]:
    """Every document in a row of its own, at a random offset after text that no training row had."""
    rng = np.random.default_rng((seed, 5))
    rows = text.sample(len(documents), LENGTH + ROOM, rng)
    offsets = rng.integers(0, ROOM, size=len(documents))
    place(documents, rows, offsets)
    return rows, offsets[:, None] + PREFIX + np.arange(SUFFIX)


@torch.no_grad()
def greedy_hits(model: Any, text: MarkovText, documents: Ids, seed: int) -> NDArray[np.bool_]:
    """[N, SUFFIX] whether the most likely next token is the document's own, its true past given.

    Greedy decoding says the whole suffix exactly when all of them are.
    """
    rows, at = _moved(text, documents, seed)
    said = model(input_ids=torch.from_numpy(rows)).logits.argmax(-1).numpy()
    return np.take_along_axis(said, at - 1, axis=1) == documents[:, PREFIX:]
