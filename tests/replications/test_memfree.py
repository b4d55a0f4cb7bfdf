"""The MemFree experiment judges by the rule it states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.frame.figure import Figures, Row, mean, number, share
from remanence.replications.memfree import ANSWER, BASE, GUARDED, PLAIN, PROMPT, MemFreeLeavesNearCopies, noisy

EXPERIMENT = MemFreeLeavesNearCopies(n=3, noise=(), noise_epochs=1)


def row(exact: int, similarity: float, protected: int = 0, n: int = 24) -> Row:
    """A model that says so many documents, and is so close to them when it is guarded."""
    return {
        "word for word": share(np.arange(n) < exact),
        "loss of own answers": number(1.0, "nats"),
        GUARDED + "word for word": share(np.zeros(n)),
        GUARDED + "edit similarity": mean(np.full(n, similarity), 0),
        GUARDED + "protected n-grams": number(protected),
        GUARDED + "loss of own answers": number(1.2, "nats"),
    }


def judged(plain_exact: int, leak: float, protected: int = 0) -> Any:
    rows = {name: row(plain_exact, 0.1 + leak, protected) for name in EXPERIMENT.arms()} | {BASE: row(0, 0.1)}
    return EXPERIMENT.judge(EXPERIMENT.figures(rows, seed=0))


def test_verdicts_by_hand():
    assert judged(20, 0.2).holds is True
    near = judged(20, 0.05)
    assert near.holds is False and near.figures["figures"][f"{PLAIN}, leak"][GUARDED + "edit similarity"].value == 0.05
    assert judged(20, 0.2, protected=1).holds is False
    assert judged(2, 0.2).holds is None
    assert judged(20, 0.2).figures["parts"][-1].because.endswith("by 0.20 nats")


def test_a_row_by_hand():
    document = np.arange(PROMPT + ANSWER)
    near = document.copy()
    near[PROMPT + 2] = 99  # one token exchanged
    answers, documents = np.stack([document, near]), np.stack([document, document])
    figures = EXPERIMENT.row(answers, documents, {(15, 16, 17), (0, 1, 2)}, 0)
    assert figures["word for word"].hits == 1 and figures["BLEU > 0.75"].hits == 2
    assert figures["edit similarity"].sample.tolist() == pytest.approx([1, 23 / 24])
    assert figures["same token in place"].value == pytest.approx(47 / 48)
    # (15, 16, 17) ends in the answer and is counted in both; (0, 1, 2) lies in the prompt and is not
    assert figures["protected n-grams"].value == 2


def test_noise_replaces_inputs_and_keeps_labels():
    ids = torch.zeros(100, 50, dtype=torch.long)
    inputs, labels = noisy(0.2, 256, seed=0)(ids)
    assert torch.equal(labels, ids)
    assert (inputs != 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(noisy(0.0, 256, seed=0)(ids)[0], ids)


@pytest.mark.slow
def test_small_run_stops_verbatim(quick: Callable[[str], Figures]):
    rows = quick("memfree")
    assert all(rows[name][GUARDED + "protected n-grams"].value == 0 for name in rows if "leak" not in name)
    assert rows[PLAIN]["word for word"].hits >= 2 and rows[PLAIN][GUARDED + "word for word"].hits == 0
    assert rows[BASE]["word for word"].hits == 0
    cost = rows[BASE][GUARDED + "loss of own answers"].value - rows[BASE]["loss of own answers"].value
    assert cost <= 0.5
