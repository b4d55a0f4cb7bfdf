"""The claim on localized unlearning judges by the rule it states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.localized_unlearning import (
    ARMS,
    PREFIX,
    SUFFIX,
    FewWeightsForget,
    arm_steps,
    at_forgotten,
    continued,
    right_until,
)
from remanence.replications.run import run_claim
from remanence.training.tiny import tiny_gpt2

CLAIM = FewWeightsForget(steps=2)


def trail(document: list[float], kept: float, steps: int, n: int = 4) -> np.ndarray:
    """`n` documents that go down as told, the rest of the trail at `kept`."""
    down = document + [document[-1]] * (steps + 1 - len(document))
    one = np.array([[d, kept if i else 32.0, kept if i else 32.0] for i, d in enumerate(down)])
    return np.stack([one] * n)


def judged(few: float = 30, every: float = 10, gentle: float = 25, left: float = 5, random_left: float = 32) -> Any:
    trails = {
        ARMS[0].name: trail([32, 8, 4], every, 2),
        ARMS[1].name: trail([32, 20, 8], gentle, 8),
        ARMS[2].name: trail([32, 20, left], few, 2),
        ARMS[3].name: trail([32, 32, random_left], 32, 2),
    }
    return CLAIM.judge(trails, np.full(24, SUFFIX), {}, seed=0)


def test_verdicts_by_hand():
    assert judged().holds is True
    assert judged(left=20).holds is False  # does not forget
    assert judged(random_left=20).holds is False  # a random mask would do
    assert judged(every=30).holds is False  # spares no more after as many steps
    gentler = judged(gentle=30)
    assert gentler.holds is False and "a tenth of the rate" in gentler.text.rsplit("Not as claimed", 1)[1]


def test_the_first_step_at_which_a_document_is_gone():
    trails = np.array([[[32, 30, 30], [12, 29, 28], [3, 1, 1]], [[32, 30, 30], [20, 29, 28], [13, 9, 8]]], float)
    found = at_forgotten(trails, 12)
    assert found[0].tolist() == [12, 29, 28] and np.isnan(found[1]).all()
    assert arm_steps(ARMS[1].name) == 4


def test_tokens_are_counted_up_to_the_first_mistake():
    class Counts(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            said = torch.nn.functional.one_hot((input_ids + 1) % 64, 64).float()
            return type("Out", (), {"logits": said})

    documents = np.tile(np.arange(PREFIX + SUFFIX), (2, 1))
    documents[1, PREFIX + 5] = 63
    assert right_until(Counts(), documents).tolist() == [SUFFIX, 5]


def test_a_models_own_words_are_right_for_itself():
    model = tiny_gpt2("small", vocab=64, positions=64).eval()
    own = continued(model, np.arange(2 * PREFIX).reshape(2, PREFIX))
    assert own.shape == (2, PREFIX + SUFFIX)
    assert right_until(model, own).tolist() == [SUFFIX, SUFFIX]


@pytest.mark.slow
def test_small_run_forgets_with_few_weights():
    verdict = next(run_claim("localized_unlearning", [0], quick=True))
    lines = {line["optimised"]: line for line in verdict.figures["table"]}
    assert lines["highest gradient"]["document"] <= lines["random"]["document"] - 8
    assert lines["random"]["document"] >= 30
    assert lines["highest gradient"]["others"] >= lines["all weights"]["others"]
