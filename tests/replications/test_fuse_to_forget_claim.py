"""The fusion claim judges by the rule it states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from remanence.replications.fuse_to_forget import LENGTH, PREFIX, FusionForgetsUnshared, mean_of, recites
from remanence.replications.run import run_claim
from remanence.training.tiny import tiny_gpt2

CLAIM = FusionForgetsUnshared()


def group(recited: int, ratio: float, documents: int = 10) -> dict[str, Any]:
    return {"recited": recited, "documents": documents, "likelihood_ratio": ratio}


def judged(
    own: int = 0, shared: int = 10, ratios: tuple[float, float] = (0.3, 0.5), loss: float = 2.2, known: int = 10
):
    singles = [
        {"model": f"model {i}", "own": group(known, 0.1), "shared": group(10, 0.10), "heldout_nats": 2.4}
        for i in (1, 2, 3)
    ]
    means = [
        {"model": f"mean of {m}", "own": group(own, ratio), "shared": group(shared, 0.12), "heldout_nats": loss}
        for m, ratio in zip((2, 3), ratios, strict=True)
    ]
    return CLAIM.judge([*singles, *means], seed=0)


def test_verdicts_by_hand():
    assert judged().holds is True
    assert judged(own=2).holds is False and "unshared lost" in judged(own=2).text
    assert judged(shared=8).holds is False  # enough for the mean of three, not for that of two
    assert judged(ratios=(0.5, 0.3)).holds is False
    assert judged(loss=2.5).holds is False
    assert judged(known=5).holds is None


def test_reciting_is_all_of_the_suffix():
    documents = np.tile(np.arange(LENGTH), (2, 1))
    documents[1, -1] = 7

    class Counts(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor) -> Any:
            said = torch.nn.functional.one_hot((input_ids + 1) % 64, 64).float()
            return type("Out", (), {"logits": said})

    assert recites(Counts(), documents).tolist() == [True, False]
    assert PREFIX < LENGTH


def test_the_mean_of_models_is_the_mean_of_weights():
    one, two = tiny_gpt2("small", vocab=32, seed=0), tiny_gpt2("small", vocab=32, seed=1)
    mean = mean_of([one, two])
    for a, b, c in zip(one.parameters(), two.parameters(), mean.parameters(), strict=True):
        assert torch.allclose(c, (a + b) / 2, atol=1e-7)


@pytest.mark.slow
def test_small_run_says_what_the_claim_says():
    verdict = next(run_claim("fuse_to_forget", [0], quick=True))
    lines = {line["model"]: line for line in verdict.figures["table"]}
    assert lines["model 1"]["own"]["recited"] >= 3 and lines["model 1"]["a peer's"]["recited"] == 0
    assert lines["mean of 2"]["own"]["recited"] <= 1
    assert lines["mean of 3"]["own"]["likelihood_ratio"] > lines["mean of 2"]["own"]["likelihood_ratio"]
    assert lines["base model"]["own"]["likelihood_ratio"] == 1
