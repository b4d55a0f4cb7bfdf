"""The truth ratio: by hand, in the order of logarithm and mean that the benchmark's code has, and with stand-ins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from remanence.core.record import Record
from remanence.core.table import Rendered, TokenRow
from remanence.measure.unlearning.truth_ratio import TruthRatio, forget_aggregate, retain_aggregate, truth_ratio
from remanence.models.parrot import Parrot


@dataclass(frozen=True)
class Letters(Parrot):
    """Every byte a costs one nat, every b two, anything else four, whatever stands before it; the end is free."""

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        price = {ord("a"): 1.0, ord("b"): 2.0, 257: 0.0}
        for row in rendered:
            if isinstance(row, str):
                yield row
                continue
            nll = np.array([price.get(int(i), 4.0) for i in row.ids], np.float32)
            yield TokenRow(row, {"logprob": np.where(row.scored, -nll, np.float32(np.nan))})


def test_truth_ratio_by_hand():
    # Wrong answers at 2 and 4 nats per token, the truth at 1: e^-3 / e^-1 = e^-2. Means of probabilities would differ.
    assert truth_ratio(1.0, np.array([2.0, 4.0])) == pytest.approx(math.exp(-2))
    arithmetic = (math.exp(-2) + math.exp(-4)) / 2 / math.exp(-1)
    assert truth_ratio(1.0, np.array([2.0, 4.0])) != pytest.approx(arithmetic)


def test_against_the_benchmarks_five_lines():
    rng = np.random.default_rng(0)
    nll, wrong = rng.random(6) * 4, rng.random((6, 5)) * 4
    slow = []
    for paraphrase, lies in zip(nll, wrong, strict=True):
        correct_prob, wrong_prob = math.exp(-paraphrase), math.exp(sum(-x for x in lies) / 5)
        slow.append(wrong_prob / correct_prob)
    fast = np.array([truth_ratio(p, w) for p, w in zip(nll, wrong, strict=True)])
    assert fast == pytest.approx(np.array(slow))
    assert forget_aggregate(fast) == pytest.approx(sum(min(x, 1 / x) for x in slow) / 6)
    assert retain_aggregate(fast) == pytest.approx(sum(max(0, 1 - x) for x in slow) / 6)


def test_a_collapsed_model_has_a_ratio_and_no_overflow():
    assert 0 < truth_ratio(0.0, np.array([5000.0])) < 1e-300 < 1e300 < truth_ratio(5000.0, np.array([0.0]))
    assert forget_aggregate(np.array([truth_ratio(5000.0, np.array([0.0]))])) == pytest.approx(0)


def test_given_answers_are_what_is_compared():
    row = Record("r", prompt="Q", completion="c", meta={"paraphrase": "aaa", "wrong": ["bbb", "ccc"]})
    (found,) = TruthRatio()(Letters(), [row])
    # Three bytes and the end token: 3/4, 6/4 and 12/4 nats per token; 9/4 - 3/4 = 1.5.
    assert found.score == pytest.approx(1.5)
    assert found.evidence == {
        "truth_ratio": pytest.approx(math.exp(-1.5)), "paraphrase": "given", "wrong": "given", "num_wrong": 2,
    }  # fmt: skip


def test_stand_ins_are_the_own_answer_and_those_of_other_rows_and_it_is_said():
    rows = [Record("a", prompt="Q", completion="aaa"), Record("b", prompt="Q", completion="bbb")]
    a, b = TruthRatio()(Letters(), rows)
    assert (a.score, b.score) == (pytest.approx(0.75), pytest.approx(-0.75))
    assert (a.evidence["paraphrase"], a.evidence["wrong"], a.evidence["num_wrong"]) == ("own answer", "other rows", 1)
    only_wrong = replace(rows[0], meta={"wrong": "ccc"})
    (found,) = TruthRatio()(Letters(), [only_wrong])
    assert found.score == pytest.approx(12 / 4 - 3 / 4) and found.evidence["wrong"] == "given"


def test_others_can_be_named_and_are_drawn_by_seed():
    row, others = Record("r", prompt="Q", completion="aaaa"), tuple(
        Record(str(n), prompt="?", completion="ab" * n + "c") for n in range(1, 9)
    )  # fmt: skip
    scores = {seed: [f.score for f in TruthRatio(2, seed, others=others)(Letters(), [row])] for seed in range(6)}
    assert scores[0] == [f.score for f in TruthRatio(2, 0, others=others[::-1])(Letters(), [row])]
    assert len({tuple(s) for s in scores.values()}) > 1


def test_without_stand_ins_a_row_needs_its_own_answers():
    rows = [Record("a", prompt="Q", completion="aaa"), Record("b", prompt="Q", completion="bbb")]
    reasons = [f.reason for f in TruthRatio(stand_in=False)(Letters(), rows)]
    assert reasons == ["no paraphrase and no wrong answers were given with it"] * 2
    text = Record("t", text="ab ab", meta={"wrong": ["cc"]})
    assert TruthRatio()(Letters(), [text])[0].reason == "no paraphrase answers were given with it"
    assert "no other row" in (TruthRatio()(Letters(), rows[:1])[0].reason or "")
