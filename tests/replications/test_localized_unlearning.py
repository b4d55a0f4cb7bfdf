"""The experiment on localized unlearning judges by the rule it states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.documents import PREFIX, SUFFIX
from remanence.replications.frame.figure import Figures
from remanence.replications.localized_unlearning import (
    ALL,
    FEW,
    GENTLE,
    RANDOM,
    FewWeightsForget,
    at_forgotten,
    continued,
    right_until,
)
from remanence.training.tiny import tiny_gpt2

EXPERIMENT = FewWeightsForget(steps=2)


def trail(document: list[float], kept: float, steps: int, n: int = 4) -> np.ndarray:
    """`n` documents that go down as given, the rest of the trail at `kept`."""
    down = document + [document[-1]] * (steps + 1 - len(document))
    one = np.array([[d, kept if i else 32.0, kept if i else 32.0] for i, d in enumerate(down)])
    return np.stack([one] * n)


def judged(
    few: float = 30, every: float = 10, gentle: float = 25, left: float = 5, random_left: float = 32, known: float = 32
) -> Any:
    trails = {
        ALL: trail([known, 8, 4], every, 2),
        GENTLE: trail([known, 20, 8], gentle, 8),
        FEW: trail([known, 20, left], few, 2),
        RANDOM: trail([known, 32, random_left], 32, 2),
    }
    shared: Any = None
    rows = {name: EXPERIMENT.measure(one, shared, 0) for name, one in trails.items()}
    return EXPERIMENT.judge(EXPERIMENT.figures(rows, seed=0))


def test_verdicts_by_hand():
    assert judged().holds is True
    assert judged(left=20).holds is False  # does not forget
    assert judged(random_left=20).holds is False  # a random mask would do
    assert judged(every=30).holds is False  # spares no more after as many steps
    gentler = judged(gentle=30)
    failed = [part.statement for part in gentler.figures["parts"] if part.holds is False]
    assert gentler.holds is False and failed == ["More is kept at equal forgetting, a tenth of the rate"]
    assert judged(known=20).holds is None  # nothing was learned by heart


def test_what_is_kept_is_counted_where_both_forgot():
    figures = judged().figures["figures"]
    assert figures["equal steps"]["kept"].value == 20 and figures["equal steps"]["kept"].n == 4
    assert figures["equal forgetting, a tenth of the rate"]["kept"].value == 5
    assert figures[RANDOM]["forgotten"].hits == 0


def test_the_first_step_at_which_a_document_is_gone():
    trails = np.array([[[32, 30, 30], [12, 29, 28], [3, 1, 1]], [[32, 30, 30], [20, 29, 28], [13, 9, 8]]], float)
    found = at_forgotten(trails, 12)
    assert found[0].tolist() == [12, 29, 28] and np.isnan(found[1]).all()


def test_tokens_are_counted_up_to_the_first_mistake():
    class Counts(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            following = torch.nn.functional.one_hot((input_ids + 1) % 64, 64).float()
            return type("Out", (), {"logits": following})

    documents = np.tile(np.arange(PREFIX + SUFFIX), (2, 1))
    documents[1, PREFIX + 5] = 63
    assert right_until(Counts(), documents).tolist() == [SUFFIX, 5]


def test_a_models_own_words_are_right_for_itself():
    model = tiny_gpt2("small", vocab=64, positions=64).eval()
    own = continued(model, np.arange(2 * PREFIX).reshape(2, PREFIX))
    assert own.shape == (2, PREFIX + SUFFIX)
    assert right_until(model, own).tolist() == [SUFFIX, SUFFIX]


@pytest.mark.slow
def test_small_run_forgets_with_few_weights(quick: Callable[[str], Figures]):
    rows = quick("localized_unlearning")
    assert rows[FEW]["document, left"].value <= rows[RANDOM]["document, left"].value - 8
    assert rows[RANDOM]["document, left"].value >= 30
    assert rows[FEW]["other documents, left"].value >= rows[ALL]["other documents, left"].value
