"""The MemFree claim judges by the rule it states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from remanence.replications.memfree import ANSWER, PROMPT, MemFreeLeavesNearCopies, noisy
from remanence.replications.run import run_claim

CLAIM = MemFreeLeavesNearCopies(n=3)


def judged(plain_exact: int, leak: float, said: int = 0):
    free = {
        "model": "plain fine-tuning",
        "guard": "none",
        "exact": plain_exact,
        "documents": 24,
        "protected_ngrams_said": 9,
    }
    guard = {
        "model": "plain fine-tuning",
        "guard": "MemFree",
        "exact": 0,
        "documents": 24,
        "protected_ngrams_said": said,
    }
    guarded = {"base model": np.full(24, 0.1), "plain fine-tuning": np.full(24, 0.1 + leak)}
    return CLAIM.judge([free, guard], guarded, {}, seed=0)


def test_verdicts_by_hand():
    assert judged(20, 0.2).holds is True
    assert judged(20, 0.05).holds is False and "none of them" in judged(20, 0.05).text
    assert judged(20, 0.2, said=1).holds is False
    assert judged(2, 0.2).holds is None


def test_a_line_by_hand():
    document = np.arange(PROMPT + ANSWER)
    near = document.copy()
    near[PROMPT + 2] = 99  # one token exchanged
    line, similarity = CLAIM.line(
        np.stack([document, near]), np.stack([document, document]), {(15, 16, 17), (0, 1, 2)}, 0
    )
    assert line["exact"] == 1 and line["approximate"] == 2
    assert similarity.tolist() == pytest.approx([1, 23 / 24])
    # (15, 16, 17) ends in the answer and is counted in both; (0, 1, 2) lies in the prompt and is not
    assert line["protected_ngrams_said"] == 2


def test_noise_replaces_inputs_and_keeps_labels():
    ids = torch.zeros(100, 50, dtype=torch.long)
    inputs, labels = noisy(0.2, 256, seed=0)(ids)
    assert torch.equal(labels, ids)
    assert (inputs != 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(noisy(0.0, 256, seed=0)(ids)[0], ids)


@pytest.mark.slow
def test_small_run_stops_verbatim():
    verdict = next(run_claim("memfree", [0], quick=True))
    assert verdict.figures["verbatim_stopped"] is True and verdict.holds is not None
    lines = {(line["model"], line["guard"]): line for line in verdict.figures["table"]}
    assert lines["plain fine-tuning", "none"]["exact"] >= 2
    assert lines["plain fine-tuning", "MemFree"]["exact"] == 0
    assert lines["base model", "none"]["exact"] == 0
    assert verdict.figures["cost"]["rise"] <= 0.5
