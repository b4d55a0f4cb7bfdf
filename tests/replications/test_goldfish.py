"""The goldfish experiment judges by the rule it states, and its parts measure what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from remanence.corpora.markov import MarkovText
from remanence.replications.documents import LENGTH, PREFIX, SUFFIX
from remanence.replications.frame.figure import Figures, mean, share
from remanence.replications.goldfish import ARMS, ROOM, GoldfishLowersExtraction, greedy_hits, place


def judged(plain: int, goldfish: int, loss_gap: float, n: int = 24) -> Any:
    experiment = GoldfishLowersExtraction(documents=n)
    rows = {
        name: {
            "recited": share(np.arange(n) < (goldfish if "goldfish" in name else plain)),
            "held-out loss": mean(np.full(200, 2.0 + (loss_gap if "goldfish" in name else 0)), 0, "nats"),
        }
        for name in ARMS
    }
    return experiment.judge(experiment.figures(rows, seed=0))


def test_verdicts_by_hand():
    assert judged(20, 1, 0.0).holds is True
    assert judged(20, 1, -0.3).holds is True  # it may know the language better
    assert judged(20, 1, 0.06).holds is False  # less recited, but at a price
    assert judged(20, 19, 0.0).holds is False
    undecided = judged(3, 0, 0.0)
    assert undecided.holds is None and "the plain model recites 3 of 24" in undecided.text


def test_documents_stand_where_they_were_put():
    rows, documents = np.zeros((3, 9), int), np.array([[1, 2], [3, 4]])
    place(documents, rows, np.array([0, 5]))
    assert rows.tolist() == [[1, 2, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 3, 4, 0, 0], [0] * 9]


class Oracle(torch.nn.Module):
    """Knows every next token of the documents but the last one of the second."""

    def __init__(self, documents: Any) -> None:
        super().__init__()
        self.follows = {(d[i], d[i + 1]): d[i + 2] for d in documents.tolist() for i in range(LENGTH - 2)}
        self.wrong = documents[1, -1]

    def forward(self, input_ids: torch.Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, 5000)
        for b, row in enumerate(input_ids.tolist()):
            for t in range(1, len(row)):
                following = self.follows.get((row[t - 1], row[t]), 0)
                logits[b, t, 0 if following == self.wrong else following] = 1
        return type("Out", (), {"logits": logits})


def test_a_model_that_knows_all_but_one_token():
    documents = np.arange(1, 3 * LENGTH + 1).reshape(3, LENGTH)  # all tokens different
    text = MarkovText(vocab=5000, branching=2, reserved=4000)
    hits = greedy_hits(Oracle(documents), text, documents, seed=0)
    assert hits.shape == (3, SUFFIX)
    assert hits.all(axis=1).tolist() == [True, False, True] and hits[1, :-1].all()
    assert PREFIX + SUFFIX == LENGTH and ROOM > 0


@pytest.mark.slow
def test_small_run_says_what_the_claim_says(quick: Callable[[str], Figures]):
    table = quick("goldfish")
    goldfish, plain = table["goldfish, equal steps"], table["plain loss"]
    assert goldfish["recited"].hits <= 1 < plain["recited"].hits
    tokens = {name: table[name]["supervised tokens"].value for name in ARMS}
    assert tokens["goldfish, equal steps"] == pytest.approx(0.8 * tokens["plain loss"], rel=0.06)
    assert tokens["goldfish, equal tokens"] == pytest.approx(tokens["plain loss"], rel=0.1)
    assert goldfish["loss where goldfish drops"].value > goldfish["loss where goldfish learns"].value + 1.5
    assert goldfish["right up to the first drop"].value >= 0.8
    assert table["never trained on them"]["recited"].hits == 0
