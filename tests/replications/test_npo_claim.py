"""The NPO claim judges by the rule it states, and its parts measure what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.npo import (
    ALONE,
    ASCENT,
    BEFORE,
    LENGTH,
    PREFIX,
    RETRAINED,
    WITH,
    Look,
    NpoForgetsWithoutCollapse,
    look,
    recites,
)
from remanence.replications.run import run_claim


def one(forget: int, retain: int, loss: float, auc: float = 1.0, n: int = 16) -> Look:
    """A model by its figures: this share of the documents to forget outranks every new one."""
    above = np.arange(n) < round(auc * n)
    return Look(
        np.arange(n) < forget, np.arange(n) < retain, np.full(20, loss), np.where(above, 1.0, -1.0), np.zeros(20)
    )


def judged(**changes: Look) -> Any:
    looks = {
        BEFORE: one(16, 16, 2.5),
        RETRAINED: one(0, 16, 2.3, auc=0.5),
        ASCENT: one(0, 0, 19.0, auc=0.0),
        ALONE: one(0, 0, 3.8),
        WITH: one(0, 16, 2.4, auc=1.0),
    }
    return NpoForgetsWithoutCollapse().judge({**looks, **changes}, seed=0)


def test_verdicts_by_hand():
    verdict = judged()
    assert verdict.holds is True and verdict.figures["membership_remains"]
    assert "recital is gone, membership is not" in verdict.text and "+0.10 nats" in verdict.text
    assert judged(**{ASCENT: one(0, 0, 9.9)}).holds is False  # gradient ascent has not collapsed
    assert judged(**{ALONE: one(0, 0, 5.1)}).holds is False  # so has NPO
    assert judged(**{WITH: one(1, 16, 2.4)}).holds is False  # 1 of 16 is still recited
    assert judged(**{WITH: one(0, 15, 2.4)}).holds is False  # a document to keep is lost
    assert judged(**{WITH: one(0, 16, 2.51)}).holds is False  # the language has suffered


def test_membership_is_told_apart_from_recital():
    """privleak: an AUC of 1 against 1/2 is -100, of 3/4 is -50, of 0 is +100."""
    leaks = {row["arm"]: row["privleak"] for row in judged().figures["table"]}
    assert leaks == {BEFORE: -100, RETRAINED: 0, ASCENT: 100, ALONE: -100, WITH: -100}
    weaker = judged(**{WITH: one(0, 16, 2.4, auc=0.75)})
    assert weaker.holds is True and not weaker.figures["membership_remains"] and "-50" in weaker.text


def test_models_that_learned_nothing_decide_nothing():
    assert judged(**{BEFORE: one(10, 16, 2.5)}).holds is None
    undecided = judged(**{RETRAINED: one(3, 16, 2.3, auc=0.5)})
    assert undecided.holds is None and "19% by the retrained model" in undecided.text


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
                said = self.follows.get((row[t - 1], row[t]), 0)
                logits[b, t, 0 if said == self.wrong else said] = 9
        return type("Out", (), {"logits": logits})


def test_a_model_that_knows_all_but_one_token():
    documents = np.arange(1, 3 * LENGTH + 1).reshape(3, LENGTH)
    assert recites(Oracle(documents), documents).tolist() == [True, False, True]
    seen = look(Oracle(documents), documents, documents[:1], documents[::-1, ::-1].copy())
    assert seen.forget.tolist() == [True, False, True] and seen.retain.tolist() == [True]
    assert seen.auc == 1.0 and seen.heldout.shape == (3,) and PREFIX < LENGTH


@pytest.mark.slow
def test_small_run_says_what_the_claim_says():
    """Users are protected from false comfort by the last line: what is no longer recited is still recognised."""
    verdict = next(run_claim("npo", [0], quick=True))
    table = {row["arm"]: row for row in verdict.figures["table"]}
    assert table[BEFORE]["forget_recited"] == 8 and table[RETRAINED]["forget_recited"] == 0
    assert table[ASCENT]["heldout_nats"] > table[ALONE]["heldout_nats"] + 2
    assert table[WITH]["forget_recited"] == 0 and table[WITH]["retain_recited"] >= 7
    assert table[WITH]["heldout_nats"] < table[ALONE]["heldout_nats"]
    assert table[WITH]["auc"] > 0.8
