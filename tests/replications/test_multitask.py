"""The multi-task experiment judges by the rule it states, on curves planted by hand, and its arms train on what they
say."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from remanence.replications.evaluations import NATS, ROWS, Evaluation, memorizes_less
from remanence.replications.frame.figure import Figures, to_json
from remanence.replications.multitask import MULTI, ONE, PASSES, Arm, MultitaskLowersMemorization, at_loss

EXPERIMENT = MultitaskLowersMemorization()
NAMES = tuple(EXPERIMENT.arms())
PLAIN = [(0.0, 0.0, 5.0), (0.1, 0.5, 3.0), (0.4, 1.0, 2.0), (0.6, 2.0, 2.2)]
"""Share of rows extracted, gain in nats above that of held-out rows, validation loss: pass by pass, from 0."""


def planted(points: list[tuple[float, float, float]], n: int = 200) -> list[Evaluation]:
    """Evaluations whose curve is this, give or take a little per row."""
    noise = 0.02 * np.random.default_rng(0).standard_normal(n)
    start = points[0][2]
    return [
        Evaluation(
            (np.arange(n) < share * n).astype(float), -6 + gain + start - loss + noise, np.zeros(n), -loss + noise
        )
        for share, gain, loss in points
    ]


def judged(multi: list[tuple[float, float, float]], plain: list[tuple[float, float, float]] = PLAIN) -> Any:
    shared: Any = None
    rows = {name: EXPERIMENT.measure((planted(multi if name == MULTI else plain), 84), shared, 0) for name in NAMES}
    return EXPERIMENT.judge(EXPERIMENT.figures(rows, seed=0))


def test_less_at_both_holds():
    verdict = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 2.9), (0.1, 0.4, 1.9), (0.2, 0.8, 2.0)])
    assert verdict.holds is True
    assert verdict.figures["figures"][PASSES][ROWS].value == pytest.approx(-0.4)


def test_less_at_equal_loss_but_more_at_equal_passes_does_not_hold():
    verdict = judged([(0.0, 0.0, 5.0), (0.1, 0.2, 1.9), (0.6, 1.0, 1.8), (0.9, 2.5, 1.7)])
    assert verdict.holds is False
    figures = verdict.figures["figures"]
    assert figures[PASSES][ROWS].short == "+30.0 points" and memorizes_less(figures[PASSES]) is False
    assert memorizes_less(figures[at_loss(MULTI, ONE)]) is True


def test_less_at_equal_passes_but_more_at_equal_loss_does_not_hold():
    """Slower in everything: fewer rows are extracted after as many passes, because the model learned less."""
    verdict = judged([(0.0, 0.0, 5.0), (0.2, 0.9, 4.0), (0.3, 1.1, 3.0), (0.4, 1.2, 2.8)])
    assert memorizes_less(verdict.figures["figures"][PASSES]) is True
    assert verdict.holds is False


def test_no_difference_cannot_be_decided():
    assert judged(PLAIN).holds is None


def test_too_little_memorization_cannot_be_decided():
    faint = [(0.0, 0.0, 5.0), (0.02, 0.5, 3.0), (0.05, 1.0, 2.0), (0.05, 2.0, 2.2)]
    verdict = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 2.9), (0.0, 0.4, 1.9), (0.0, 0.8, 2.0)], plain=faint)
    assert verdict.holds is None and verdict.text.startswith("Control failed: plain training extracts 5%")


def test_a_loss_that_is_never_reached_is_not_measured():
    figures = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 4.0), (0.05, 0.3, 3.0), (0.1, 0.4, 2.5)]).figures["figures"]
    multi, one = (figures[f"{name}, at the best loss of {ONE}"] for name in (MULTI, ONE))
    assert math.isnan(multi[ROWS].value) and multi[ROWS].short == "not measured"
    assert (one[ROWS].value, one[NATS].value) == pytest.approx((0.4, 1.0))
    # both reach 2.5: plain training on its way from 3.0 to 2.0, at 0.25
    gap = figures[at_loss(MULTI, ONE)]
    assert gap[ROWS].value == pytest.approx(0.1 - 0.25, abs=0.005)
    assert gap["at validation loss"].value == pytest.approx(2.5, abs=0.01)


def test_figures_can_be_written_as_json():
    figures = json.loads(json.dumps(to_json([judged(PLAIN).figures["figures"]]), allow_nan=False))
    assert set(NAMES) <= set(figures)
    assert figures[f"{ONE}, extracted"]["pass 3"]["by_seed"][0][0] == 0.6
    assert figures[ONE]["held-out rows extracted"]["by_seed"][0][3] == 200
    assert sum("on the front" in row for row in figures.values()) == 2 * len(NAMES)


def test_the_front_knows_a_point_that_is_beaten():
    figures = judged([(0.0, 0.0, 5.0), (0.0, 0.1, 1.5), (0.0, 0.1, 1.4), (0.0, 0.1, 1.3)]).figures["figures"]
    assert figures["multi-task, best loss"]["on the front"].value == 1
    assert figures["one task, last pass"]["beaten beyond the intervals"].value == 1


def test_arms_differ_in_nothing_but_what_they_say():
    small = replace(EXPERIMENT, copies=((1, 6), (4, 2)), heldout=5, per_row=2.0)
    rows = small.rows(seed=0)
    assert (len(rows.members), len(rows.train), len(rows.heldout), len(rows.more)) == (8, 14, 5, 28)
    people = [r.id + str(r.meta["case"]) for r in (*rows.members, *rows.heldout, *rows.more)]
    people += [r.id + str(r.meta["case"]) for other in rows.others.values() for r in other]
    assert len(people) == len(set(people))
    cases = [r.meta["case"] for r in (*rows.members, *rows.heldout, *rows.more)]
    cases += [r.meta["case"] for other in rows.others.values() for r in other]
    assert len(cases) == len(set(cases)), "every row is of another person"
    asked = Counter(r.plain for r in rows.train)
    for name, arm in small.arms().items():
        trained = Counter(r.plain for r in small.trained_on(arm, rows, seed=0))
        mine = {text: trained[text] for text in asked}
        assert mine == (asked if arm.rows != "distinct" else dict.fromkeys(asked, 1)), name
        assert not any(r.plain in trained for r in rows.heldout)
    sizes = {name: len(small.trained_on(arm, rows, seed=0)) for name, arm in small.arms().items()}
    assert sizes["multi-task"] == sizes["more of the task"] == 3 * sizes["one task"] == 42
    mixed = Counter(r.meta["task"] for r in small.trained_on(Arm("with other tasks"), rows, 0))
    assert mixed == {"summarization": 14, "dialogue": 7, "qa": 7, "translation": 7, "sentiment": 7}


@pytest.mark.slow
def test_small_run_measures_every_arm_after_every_pass(quick: Callable[[str], Figures]):
    figures = quick("multitask")

    def curve(name: str, what: str) -> list[float]:
        return [figure.value for figure in figures[f"{name}, {what}"].values()]

    for name in NAMES:
        assert len(curve(name, "extracted")) == len(curve(name, "validation loss")) == 4
        assert curve(name, "extracted")[0] == 0 and curve(name, "gain")[0] == 0
        losses = curve(name, "validation loss")
        assert losses[-1] < losses[0], "something of the task is learned"
        assert all(math.isfinite(v) for v in curve(name, "gain"))
    assert curve(ONE, "validation loss")[-1] < curve(ONE, "validation loss")[0] - 0.3
    assert len({curve(name, "validation loss")[0] for name in NAMES}) == 1, "all start from one base model"
    assert len({curve(name, "validation loss")[-1] for name in NAMES}) == len(NAMES), "and end elsewhere"
