"""The fusion experiment judges by the rule it states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.documents import LENGTH, PREFIX, SUFFIX, recites
from remanence.replications.frame.figure import Figures, Row, number, share
from remanence.replications.fuse_to_forget import FusionForgetsUnshared, mean_of
from remanence.training.tiny import tiny_gpt2


def row(own: int, own_ratio: float, shared: int, shared_ratio: float, loss: float) -> Row:
    return {
        "held-out loss": number(loss, "nats"),
        "own, recited": share(np.arange(10) < own),
        "own, likelihood ratio": number(own_ratio),
        "shared, recited": share(np.arange(10) < shared),
        "shared, likelihood ratio": number(shared_ratio),
    }


def judged(
    own: int = 0, shared: int = 10, ratios: tuple[float, float] = (0.3, 0.5), loss: float = 2.2, known: int = 10
) -> Any:
    singles = {f"model {i}": row(known, 0.1, 10, 0.10, 2.4) for i in (1, 2, 3)}
    means = {f"mean of {m}": row(own, ratio, shared, 0.12, loss) for m, ratio in zip((2, 3), ratios, strict=True)}
    return FusionForgetsUnshared().judge(singles | means)


def test_verdicts_by_hand():
    assert judged().holds is True
    lost = judged(own=2)
    assert lost.holds is False and lost.figures["parts"][1].holds is False
    assert judged(shared=8).holds is False  # enough for the mean of three, not for that of two
    assert judged(ratios=(0.5, 0.3)).holds is False
    assert judged(loss=2.5).holds is False
    assert judged(known=5).holds is None


def test_reciting_is_all_of_the_suffix():
    documents = np.tile(np.arange(LENGTH), (2, 1))
    documents[1, -1] = 7

    class Counts(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            following = torch.nn.functional.one_hot((input_ids + 1) % 64, 64).float()
            return type("Out", (), {"logits": following})

    assert recites(Counts(), documents).tolist() == [True, False]
    assert PREFIX + SUFFIX == LENGTH


def test_the_mean_of_models_is_the_mean_of_weights():
    one, two = tiny_gpt2("small", vocab=32, seed=0), tiny_gpt2("small", vocab=32, seed=1)
    mean = mean_of([one, two])
    for a, b, c in zip(one.parameters(), two.parameters(), mean.parameters(), strict=True):
        assert torch.allclose(c, (a + b) / 2, atol=1e-7)


@pytest.mark.slow
def test_small_run_says_what_the_claim_says(quick: Callable[[str], Figures]):
    rows = quick("fuse_to_forget")
    assert rows["model 1"]["own, recited"].hits >= 3 and rows["model 1"]["a peer's, recited"].hits == 0
    assert rows["mean of 2"]["own, recited"].hits <= 1
    assert rows["mean of 3"]["own, likelihood ratio"].value > rows["mean of 2"]["own, likelihood ratio"].value
    assert rows["base model"]["own, likelihood ratio"].value == 1
