"""The attention of a row as a prediction: flatter = higher."""

from __future__ import annotations

import attention_families as families
import numpy as np
import pytest
from attention_families import wanted

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.explain.attention.attention import Attention
from remanence.explain.attention.table import AttentionTable
from remanence.models.parrot import Parrot


def told(kind: str):
    """A target whose rows are rendered by number, and records that name them."""
    rows = families.rows(kind)
    target = families.target(kind)
    target.renderer = lambda record: rows[int(record.id)]
    return target, rows, [Record(str(i), text="x") for i in range(len(rows))]


def test_the_score_is_the_mean_over_two_layers_of_two_heads_by_hand():
    values = np.full((1, 2, 2, 4), np.nan, np.float32)
    values[0, :, :, 0] = [[1.0, 0.5], [0.25, 0.25]]
    values[0, :, :, 3] = [[0.0, 0.2], [0.8, 1.0]]
    table = AttentionTable({"self": values}, {"self": np.array([7], np.int32)}, (None,), {"self": ("a", "b")})
    found = Attention().find("r", table, 0)
    assert found.score == 0.5 and found.evidence["mean"] == {"self": 0.5} and found.evidence["queries"] == {"self": 7}
    assert found.evidence["profile"] == {"self": [[1.0, 0.5], [0.25, 0.25]]}
    assert Attention(statistic="gini").find("r", table, 0).score == pytest.approx(-0.5), "pointed = high = sign turned"
    silent = Attention(statistic="top").find("r", table, 0)
    assert silent.score is None and silent.reason == "no position attends to enough tokens for the statistic"


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_every_layer_and_head_counts_the_same(kind: str):
    target, rows, records = told(kind)
    module = families.model(kind, attention="eager")
    for finding, row in zip(Attention()(target, records), rows, strict=True):
        every = np.concatenate([v[..., 0].ravel() for v in wanted(module, kind, row, "supervised").values()])
        assert finding.score == pytest.approx(every.mean(), rel=1e-4)


def test_the_papers_choice_is_the_last_cross_attention():
    target, rows, records = told("t5")
    module = families.model("t5", attention="eager")
    for finding, row in zip(Attention(where="last cross")(target, records), rows, strict=True):
        last = wanted(module, "t5", row, "supervised")["cross"][-1, :, 0]
        assert finding.score == pytest.approx(last.mean(), rel=1e-4)
    target, _, records = told("llama")
    assert {f.reason for f in Attention(where="last cross")(target, records)} == {"the model has no cross-attention"}


def test_a_flatter_model_scores_higher():
    """The same weights with queries halved: every head is flatter, and so is every row."""
    target, _, records = told("gpt_neox")
    sharp = [f.score for f in Attention()(target, records)]
    for name, weight in target.module.named_parameters():
        if "query_key_value" in name:
            weight.data.mul_(0.5)
    flat = [f.score for f in Attention()(target, records)]
    assert all(a is not None and b is not None and a < b for a, b in zip(sharp, flat, strict=True))


def test_what_it_cannot_do_it_says():
    with pytest.raises(
        RemanenceError, match="parrot has no attention layers to record: Attention needs a Hugging Face model"
    ):
        Attention()(Parrot(), [])  # pyright: ignore
    with pytest.raises(RemanenceError, match="no statistic 'variance': use one of entropy, participation, top, gini"):
        Attention(statistic="variance")  # pyright: ignore
    target, _, records = told("llama")
    short = Rendered(np.array([5, 6], np.int32), np.array([True, True]))
    target.renderer = lambda record: short
    assert Attention()(target, records)[0].reason == "no position that predicts a token with loss attends to two tokens"
