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
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from remanence.corpora.markov import Ids, MarkovText
from remanence.measure.likelihood.min_k import min_k
from remanence.measure.unlearning.privleak import FRACTION, privleak
from remanence.mitigate.unlearning.base import GradientUnlearning
from remanence.mitigate.unlearning.gradient_ascent import GradientAscent
from remanence.mitigate.unlearning.gradient_difference import GradientDifference
from remanence.mitigate.unlearning.npo import NPO
from remanence.replications.documents import LENGTH, learned, recites
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figure, Figures, Row, mean, number, share
from remanence.stats.membership import auc_interval, roc_auc
from remanence.testbeds.markov_lm import MarkovLM
from remanence.training.rows import Row as TrainingRow
from remanence.training.settings import UnlearnSettings
from remanence.training.tiny import token_nll

BEFORE, RETRAINED = "before", "never trained on them"
ASCENT, ALONE, WITH, HELD = "gradient ascent", "NPO", "NPO + retain", "NPO held by KL"


class Shared(NamedTuple):
    """What all arms start from."""

    forget: Ids
    retain: Ids
    new: Ids
    """Documents that no model is trained on."""
    keep: Ids
    """What the methods with retain rows train on beside: documents to keep, and new text."""
    before: Any
    """The model that has learned the documents to forget and those to keep."""
    retrained: Any
    retrained_auc: float


@dataclass(frozen=True)
class NpoForgetsWithoutCollapse(Experiment):
    """The claim holds when, after as many steps, gradient ascent's held-out loss has reached `collapsed` and NPO's is
    at most `sound`, and NPO with retain rows recites at most 5 % of the documents to forget, at least 95 % of those to
    keep, and is at most `tolerance` above the retrained model's held-out loss. Whether membership still shows after it
    (privleak of -80 or below) is reported beside it."""

    claim = "NPO forgets without the collapse of gradient ascent."
    system = "npo"
    sizes: ClassVar = {"quick": {"documents": 8, "learned": 200, "fresh": 4, "pretraining": 60, "heldout": 40}}

    documents: int = 16
    """To forget, and as many to keep."""
    learned: int = 120
    """Steps over the documents, beside `fresh` rows of new text each."""
    fresh: int = 8
    steps: int = 40
    """Of unlearning, each over all documents."""
    learning_rate: float = 5e-4
    beta: float = 0.1
    model: str = "toy"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 400
    """Steps on new text beforehand."""
    heldout: int = 100
    collapsed: float = 10.0
    """Nats per token; a model that guesses among all 256 tokens has 5.5."""
    sound: float = 5.0
    tolerance: float = 0.2

    def shared(self, seed: int) -> Shared:
        """The documents, and the two models that are compared with."""
        text, rng = MarkovText(reserved=2, seed=seed), np.random.default_rng((seed, 3))
        forget, retain = text.sample(self.documents, LENGTH, rng), text.sample(self.documents, LENGTH, rng)
        new, background = text.sample(self.heldout, LENGTH, rng), text.sample(20 * self.documents, LENGTH, rng)
        keep = np.concatenate([np.repeat(retain, 20, axis=0), background])
        base = MarkovLM(text, self.model, self.pretraining, batch=16, length=LENGTH, seed=seed).model()
        before, retrained = (
            learned(base, text, rows, self.learned, self.fresh, 1e-3, (seed, 4)).requires_grad_(False)
            for rows in (np.concatenate([forget, retain]), retain)
        )
        auc = roc_auc(membership(retrained, forget), membership(retrained, new))
        return Shared(forget, retain, new, keep, before, retrained, auc)

    def arms(self) -> Mapping[str, GradientUnlearning | str]:
        """The two models, and every method with the same steps; weights as in the papers, but for the last arm."""
        same = UnlearnSettings(self.learning_rate, self.steps, batch_size=self.documents, check_every=self.steps)
        paper: dict[str, Any] = {"training": same, "alpha": 1.0}
        return {
            BEFORE: BEFORE,
            RETRAINED: RETRAINED,
            ASCENT: GradientAscent(**paper),
            "gradient difference": GradientDifference(**paper),
            ALONE: NPO(beta=self.beta, retain="none", **paper),
            WITH: NPO(beta=self.beta, retain="nll", **paper),
            HELD: NPO(beta=self.beta, alpha=30.0, training=same),
        }

    def train(self, arm: GradientUnlearning | str, shared: Shared, seed: int) -> Any:
        """One of the two models, or the first of them after the steps of a method."""
        if isinstance(arm, str):
            return shared.before if arm == BEFORE else shared.retrained
        model = copy.deepcopy(shared.before)
        method = replace(arm, training=replace(arm.training, seed=seed))
        method.optimize(model, _Padded(), _rows(shared.forget), _rows(shared.keep), _never)
        return model

    def measure(self, trained: Any, shared: Shared, seed: int) -> Row:
        """Documents recited, the language, and whether membership shows."""
        seen, unseen = membership(trained, shared.forget), membership(trained, shared.new)
        return self.row(
            recites(trained, shared.forget),
            recites(trained, shared.retain),
            token_nll(trained, shared.new).mean(axis=1),
            (seen, unseen),
            shared.retrained_auc,
            seed,
        )

    def row(
        self, forget: Any, retain: Any, heldout: Any, scores: tuple[Any, Any], retrained_auc: float, seed: int
    ) -> Row:
        """Figures from flags [N] and [N], losses [H], and membership scores of forgotten and new documents."""
        auc = roc_auc(*scores)
        return {
            "recited, to forget": share(forget),
            "recited, to keep": share(retain),
            "held-out loss": mean(heldout, seed, "nats"),
            "AUC": Figure(auc, *auc_interval(*scores), len(scores[0])),
            "privleak": number(privleak(auc, retrained_auc)),
        }

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; models that do not differ to begin with decide nothing."""
        loss, forget, retain, leak = (
            {name: row[column] for name, row in figures.items()}
            for column in ("held-out loss", "recited, to forget", "recited, to keep", "privleak")
        )
        over = loss[WITH].value - loss[RETRAINED].value
        return [
            Part("The model recites the documents", forget[BEFORE].value >= 0.9 and retain[BEFORE].value >= 0.9,
                 f"before, {forget[BEFORE]} documents to forget and {retain[BEFORE]} to keep are recited", "control"),
            Part("The retrained model does not recite those to forget", forget[RETRAINED].value <= 0.1,
                 f"the retrained model recites {forget[RETRAINED]} documents to forget", "control"),
            Part("Gradient ascent collapses", loss[ASCENT].value >= self.collapsed,
                 f"After {self.steps} steps gradient ascent has a held-out loss of {loss[ASCENT]}, before "
                 f"{loss[BEFORE].short}"),
            Part("NPO alone does not", loss[ALONE].value <= self.sound, f"NPO alone has {loss[ALONE]}"),
            Part("NPO with retain rows forgets", forget[WITH].value <= 0.05,
                 f"NPO with retain rows recites {forget[WITH]} documents to forget"),
            Part("It keeps the others", retain[WITH].value >= 0.95, f"It recites {retain[WITH]} documents to keep"),
            Part("It keeps the language", over <= self.tolerance,
                 f"Its held-out loss is {over:+.2f} nats from the retrained model's"),
            Part("Membership still shows after it", leak[WITH].value <= -80,
                 f"Its privleak is {leak[WITH].value:+.0f} (0 = as the retrained model, -100 = all are recognised)",
                 "beside"),
        ]  # fmt: skip


def membership(model: Any, documents: Ids) -> Any:
    """[N] Min-K% score of each document; higher = more memorized."""
    return np.array([min_k(-row, FRACTION) for row in token_nll(model, documents)])


def _rows(documents: Ids) -> list[TrainingRow]:
    return [TrainingRow(ids, ids) for ids in documents.tolist()]


def _never(steps: float, model: Any) -> bool:
    """No early stop: the arms are to be seen as they are."""
    return False


class _Padded:
    """As much of a tokenizer as a batch of rows of one length needs."""

    pad_token_id = 0
    eos_token_id = None
