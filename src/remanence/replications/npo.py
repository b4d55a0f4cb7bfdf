"""NPO forgets without collapse: does it take rows out where gradient ascent takes the model apart?

Paper: Zhang et al. 2024, "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning", arXiv
2404.05868

A tiny GPT-2 that knows a Markov language learns 32 documents of it by heart. Sixteen of them are then to be forgotten,
in as many steps at the same rate by every method and without a guard: what each does when nobody stops it. A second
model, trained without the sixteen, says what forgetting should look like. Three questions are asked of every arm: which
documents does it still recite, what has become of the language, and does it still show that it once saw them?
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from remanence.core.verbs import Experiment, Verdict
from remanence.corpora.markov import Ids, MarkovText
from remanence.measure.likelihood.min_k import min_k
from remanence.measure.unlearning.privleak import FRACTION, privleak
from remanence.mitigate.unlearning.gradient_ascent import GradientAscent
from remanence.mitigate.unlearning.gradient_difference import GradientDifference
from remanence.mitigate.unlearning.npo import NPO
from remanence.mitigate.unlearning.steps import Steps
from remanence.stats.intervals import bootstrap, clopper_pearson
from remanence.stats.membership import auc_interval, roc_auc
from remanence.training.rows import Row
from remanence.training.tiny import pretrain, token_nll, train_lm

PREFIX, SUFFIX = 16, 32
"""Tokens given, and tokens to be said."""
LENGTH = PREFIX + SUFFIX
BEFORE, RETRAINED = "before", "never trained on them"
ASCENT, ALONE, WITH, HELD = "gradient ascent", "NPO", "NPO + retain", "NPO held by KL"


@dataclass(frozen=True)
class Look:
    """What one model says of the documents."""

    forget: NDArray[np.bool_]
    """[N] recited to the end."""
    retain: NDArray[np.bool_]
    heldout: NDArray[np.float64]
    """[H] loss of each new document (nats per token)."""
    seen: NDArray[np.float64]
    """[N] Min-K% score of each document to forget; higher = more memorized."""
    unseen: NDArray[np.float64]
    """[H] of each new document."""

    @property
    def auc(self) -> float:
        """How well the score tells documents to forget from new ones."""
        return roc_auc(self.seen, self.unseen)


@dataclass(frozen=True)
class NpoForgetsWithoutCollapse(Experiment):
    """The claim holds when, after as many steps, gradient ascent's held-out loss has reached `collapsed` and NPO's is
    at most `sound`, and NPO with retain rows recites at most 5 % of the documents to forget, at least 95 % of those to
    keep, and is at most `tolerance` above the retrained model's held-out loss. Whether membership still shows after it
    (privleak of -80 or below) is measured beside it and told."""

    documents: int = 16
    """To forget, and as many to keep."""
    learned: int = 120
    """Steps over the documents, beside `fresh` rows of new text each."""
    fresh: int = 8
    steps: int = 40
    """Of unlearning, each over all documents."""
    learning_rate: float = 5e-4
    beta: float = 0.1
    size: str = "toy"
    pretraining: int = 400
    """Steps on new text beforehand."""
    heldout: int = 100
    collapsed: float = 10.0
    """Nats per token; a model that guesses among all 256 tokens has 5.5."""
    sound: float = 5.0
    tolerance: float = 0.2

    @classmethod
    def quick(cls) -> NpoForgetsWithoutCollapse:
        """A size for tests: seconds, and the same code."""
        return cls(documents=8, learned=200, fresh=4, pretraining=60, heldout=40)

    def methods(self, seed: int) -> dict[str, Steps]:
        """Every arm takes the same steps; weights of the losses as in the papers, but for the last arm."""
        same: dict[str, Any] = {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "batch_size": self.documents,
            "check_every": self.steps,
            "seed": seed,
        }
        paper: dict[str, Any] = {**same, "alpha": 1.0}
        return {
            ASCENT: GradientAscent(**paper),
            "gradient difference": GradientDifference(**paper),
            ALONE: NPO(beta=self.beta, retain="none", **paper),
            WITH: NPO(beta=self.beta, retain="nll", **paper),
            HELD: NPO(beta=self.beta, alpha=30.0, **same),
        }

    def __call__(self, seed: int) -> Verdict:
        """Train the two models, unlearn the first in every way, and compare."""
        text = MarkovText(reserved=2, seed=seed)
        rng = np.random.default_rng((seed, 3))
        forget, retain = text.sample(self.documents, LENGTH, rng), text.sample(self.documents, LENGTH, rng)
        new, background = text.sample(self.heldout, LENGTH, rng), text.sample(20 * self.documents, LENGTH, rng)
        keep = np.concatenate([np.repeat(retain, 20, axis=0), background])
        base = pretrain(self.size, text, self.pretraining, batch=16, length=LENGTH, seed=seed)
        before = self.learn(base, text, np.concatenate([forget, retain]), seed)
        retrained = self.learn(base, text, retain, seed)
        looks = {name: look(model, forget, retain, new) for name, model in ((BEFORE, before), (RETRAINED, retrained))}
        for name, method in self.methods(seed).items():
            model = copy.deepcopy(before)
            method.optimize(model, _Padded(), _rows(forget), _rows(keep), _never)
            looks[name] = look(model, forget, retain, new)
        return self.judge(looks, seed)

    def learn(self, base: Any, text: MarkovText, documents: Ids, seed: int) -> Any:
        """A copy of the base model that has learned the documents among fresh text."""
        model, rng = copy.deepcopy(base), np.random.default_rng((seed, 4))
        batches = (np.concatenate([documents, text.sample(self.fresh, LENGTH, rng)]) for _ in range(self.learned))
        train_lm(model, (torch.from_numpy(rows) for rows in batches), 1e-3)
        return model.requires_grad_(False)

    def judge(self, looks: Mapping[str, Look], seed: int) -> Verdict:
        """By the rule that the class states."""
        loss = {name: float(one.heldout.mean()) for name, one in looks.items()}
        forget = {name: float(one.forget.mean()) for name, one in looks.items()}
        retain = {name: float(one.retain.mean()) for name, one in looks.items()}
        leak = {name: privleak(one.auc, looks[RETRAINED].auc) for name, one in looks.items()}
        over = loss[WITH] - loss[RETRAINED]
        holds = (
            loss[ASCENT] >= self.collapsed
            and loss[ALONE] <= self.sound
            and forget[WITH] <= 0.05
            and retain[WITH] >= 0.95
            and over <= self.tolerance
        )
        text = (
            f"After {self.steps} steps gradient ascent has a held-out loss of {loss[ASCENT]:.2f} nats and NPO of "
            f"{loss[ALONE]:.2f} (before {loss[BEFORE]:.2f}). NPO with retain rows recites {forget[WITH]:.0%} of "
            f"{self.documents} documents to forget and {retain[WITH]:.0%} of those to keep, at a held-out loss "
            f"{over:+.2f} nats from the retrained model's. Its privleak is {leak[WITH]:+.0f}: "
            + ("recital is gone, membership is not." if leak[WITH] <= -80 else "membership shows less than before.")
        )
        decidable = forget[BEFORE] >= 0.9 and retain[BEFORE] >= 0.9 and forget[RETRAINED] <= 0.1
        if not decidable:
            text = (
                f"The documents are not told apart to begin with: {forget[BEFORE]:.0%} recited before, "
                f"{forget[RETRAINED]:.0%} by the retrained model. {text}"
            )
        table = [{"arm": name, "privleak": leak[name], **line(one, seed)} for name, one in looks.items()]
        return Verdict(
            claim="NPO forgets without the collapse of gradient ascent.",
            holds=bool(holds) if decidable else None,
            text=text,
            figures={"seed": seed, "table": table, "membership_remains": leak[WITH] <= -80},
        )


def line(one: Look, seed: int) -> dict[str, Any]:
    """One line of the table, with intervals."""
    rates: dict[str, Any] = {}
    for side, flags in (("forget", one.forget), ("retain", one.retain)):
        hits, n = int(flags.sum()), len(flags)
        rates |= {f"{side}_recited": hits, f"{side}_interval": list(clopper_pearson(hits, n)), f"{side}_n": n}
    return {
        **rates,
        "heldout_nats": float(one.heldout.mean()),
        "heldout_interval": list(bootstrap(one.heldout, np.mean, seed)),
        "auc": one.auc,
        "auc_interval": list(auc_interval(one.seen, one.unseen)),
    }


@torch.no_grad()
def look(model: Any, forget: Ids, retain: Ids, new: Ids) -> Look:
    """What a model says of documents to forget, documents to keep, and new ones."""
    nll = {name: token_nll(model, ids) for name, ids in (("forget", forget), ("new", new))}
    return Look(
        forget=recites(model, forget),
        retain=recites(model, retain),
        heldout=nll["new"].mean(axis=1).astype(np.float64),
        seen=np.array([min_k(-row, FRACTION) for row in nll["forget"]]),
        unseen=np.array([min_k(-row, FRACTION) for row in nll["new"]]),
    )


@torch.no_grad()
def recites(model: Any, documents: Ids) -> NDArray[np.bool_]:
    """[N] whether greedy decoding from the first `PREFIX` tokens says the rest: each is the first choice after its
    true past."""
    said = model(input_ids=torch.from_numpy(documents)).logits.argmax(-1).numpy()
    return (said[:, PREFIX - 1 : -1] == documents[:, PREFIX:]).all(axis=1)


def _rows(documents: Ids) -> list[Row]:
    return [Row(ids, ids) for ids in documents.tolist()]


def _never(strength: float, model: Any) -> bool:
    """No guard: the arms are to be seen as they are."""
    return False


class _Padded:
    """As much of a tokenizer as a batch of rows of one length needs."""

    pad_token_id = 0
    eos_token_id = None
