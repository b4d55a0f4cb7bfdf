"""The NPO experiment judges by the rule it states, and its parts measure what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.documents import LENGTH
from remanence.replications.frame.figure import Figures, Row
from remanence.replications.npo import (
    ALONE,
    ASCENT,
    BEFORE,
    RETRAINED,
    WITH,
    NpoForgetsWithoutCollapse,
    Shared,
)

EXPERIMENT = NpoForgetsWithoutCollapse()


def row(forget: int, retain: int, loss: float, auc: float = 1.0, n: int = 16) -> Row:
    """A model by its figures: this share of the documents to forget outranks every new one."""
    scores = np.where(np.arange(n) < round(auc * n), 1.0, -1.0), np.zeros(20)
    return EXPERIMENT.row(np.arange(n) < forget, np.arange(n) < retain, np.full(20, loss), scores, 0.5, seed=0)


def judged(**changes: Row) -> Any:
    rows = {
        BEFORE: row(16, 16, 2.5),
        RETRAINED: row(0, 16, 2.3, auc=0.5),
        ASCENT: row(0, 0, 19.0, auc=0.0),
        ALONE: row(0, 0, 3.8),
        WITH: row(0, 16, 2.4, auc=1.0),
    }
    return EXPERIMENT.judge({**rows, **changes})


def test_verdicts_by_hand():
    verdict = judged()
    assert verdict.holds is True and verdict.figures["parts"][-1].holds is True
    assert "+0.10 nats" in verdict.text and "Its privleak is -100" in verdict.text
    assert judged(**{ASCENT: row(0, 0, 9.9)}).holds is False  # gradient ascent has not collapsed
    assert judged(**{ALONE: row(0, 0, 5.1)}).holds is False  # so has NPO
    assert judged(**{WITH: row(1, 16, 2.4)}).holds is False  # 1 of 16 is still recited
    assert judged(**{WITH: row(0, 15, 2.4)}).holds is False  # a document to keep is lost
    assert judged(**{WITH: row(0, 16, 2.51)}).holds is False  # the language has suffered


def test_membership_is_another_thing_than_recital():
    """privleak: an AUC of 1 against 1/2 is -100, of 3/4 is -50, of 0 is +100."""
    leaks = {name: figures["privleak"].value for name, figures in judged().figures["figures"].items()}
    assert leaks == {BEFORE: -100, RETRAINED: 0, ASCENT: 100, ALONE: -100, WITH: -100}
    weaker = judged(**{WITH: row(0, 16, 2.4, auc=0.75)})
    assert weaker.holds is True and weaker.figures["parts"][-1].holds is False and "-50" in weaker.text


def test_models_that_learned_nothing_decide_nothing():
    assert judged(**{BEFORE: row(10, 16, 2.5)}).holds is None
    undecided = judged(**{RETRAINED: row(3, 16, 2.3, auc=0.5)})
    assert undecided.holds is None and "the retrained model recites 3 of 16" in undecided.text


class Oracle(torch.nn.Module):
    """Sure of every next token of the documents, and wrong about the last of the second."""

    def __init__(self, documents: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.follows = {(d[i], d[i + 1]): d[i + 2] for d in documents.tolist() for i in range(LENGTH - 2)}
        self.wrong = documents[1, -1]

    def forward(self, input_ids: torch.Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, 200)
        for b, row in enumerate(input_ids.tolist()):
            for t in range(1, len(row)):
                following = self.follows.get((row[t - 1], row[t]), 0)
                logits[b, t, 0 if following == self.wrong else following] = 9
        return type("Out", (), {"logits": logits})


def test_a_model_that_knows_all_but_one_token():
    documents = np.arange(1, 3 * LENGTH + 1).reshape(3, LENGTH)
    backwards: Any = documents[::-1, ::-1].copy()
    shared = Shared(documents, documents[:1], backwards, documents, None, None, 0.5)
    figures = EXPERIMENT.measure(Oracle(documents), shared, seed=0)
    assert figures["recited, to forget"].sample.tolist() == [True, False, True]
    assert figures["recited, to keep"].hits == 1
    assert figures["AUC"].value == 1.0 and figures["held-out loss"].n == 3


@pytest.mark.slow
def test_small_run_says_what_the_claim_says(quick: Callable[[str], Figures]):
    """Users are protected from false comfort by the last line: what is no longer recited is still recognised."""
    rows = quick("npo")
    loss = {name: figures["held-out loss"].value for name, figures in rows.items()}
    assert rows[BEFORE]["recited, to forget"].hits == 8 and rows[RETRAINED]["recited, to forget"].hits == 0
    assert loss[ASCENT] > loss[ALONE] + 2
    assert rows[WITH]["recited, to forget"].hits == 0 and rows[WITH]["recited, to keep"].hits >= 7
    assert loss[WITH] < loss[ALONE]
    assert rows[WITH]["AUC"].value > 0.8
