"""The multi-task claim judges by the rule it states, on curves planted by hand, and its arms train on what they say."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from remanence.replications.front.looks import Look
from remanence.replications.multitask import Arm, MultitaskLowersMemorization
from remanence.replications.run import run_claim

CLAIM = MultitaskLowersMemorization()
NAMES = tuple(arm.name for arm in CLAIM.arms)
PLAIN = [(0.0, 0.0, 5.0), (0.1, 0.5, 3.0), (0.4, 1.0, 2.0), (0.6, 2.0, 2.2)]
"""Share of rows that come back, gain in nats above that of held-out rows, validation loss: pass by pass, from 0."""


def planted(points: list[tuple[float, float, float]], n: int = 200) -> list[Look]:
    """Looks of which the curve is this, give or take a little per row."""
    noise = 0.02 * np.random.default_rng(0).standard_normal(n)
    start = points[0][2]
    return [
        Look((np.arange(n) < share * n).astype(float), -6 + gain + start - loss + noise, np.zeros(n), -loss + noise)
        for share, gain, loss in points
    ]


def judged(multi: list[tuple[float, float, float]], plain: list[tuple[float, float, float]] = PLAIN):
    looks = {name: planted(multi if name == "multi-task" else plain) for name in NAMES}
    return CLAIM.judge(looks, dict.fromkeys(NAMES, 84), seed=0)


def test_less_at_both_holds():
    verdict = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 2.9), (0.1, 0.4, 1.9), (0.2, 0.8, 2.0)])
    assert verdict.holds is True
    assert verdict.figures["multi_task_minus_one_task_after_all_passes"]["rows"]["value"] == pytest.approx(-0.4)


def test_less_at_equal_loss_but_more_at_equal_passes_does_not_hold():
    verdict = judged([(0.0, 0.0, 5.0), (0.1, 0.2, 1.9), (0.6, 1.0, 1.8), (0.9, 2.5, 1.7)])
    assert verdict.holds is False
    assert "memorizes more (+30% of rows" in verdict.text
    assert verdict.figures["multi_task_minus_others_at_equal_loss"]["one task"]["sign"] == "less"


def test_less_at_equal_passes_but_more_at_equal_loss_does_not_hold():
    """Slower in everything: fewer rows come back after as many passes, because the model learned less."""
    verdict = judged([(0.0, 0.0, 5.0), (0.2, 0.9, 4.0), (0.3, 1.1, 3.0), (0.4, 1.2, 2.8)])
    assert verdict.figures["multi_task_minus_one_task_after_all_passes"]["sign"] == "less"
    assert verdict.holds is False


def test_no_difference_cannot_be_decided():
    verdict = judged(PLAIN)
    assert verdict.holds is None and "memorizes unclear" in verdict.text


def test_too_little_memorization_cannot_be_decided():
    faint = [(0.0, 0.0, 5.0), (0.02, 0.5, 3.0), (0.05, 1.0, 2.0), (0.05, 2.0, 2.2)]
    verdict = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 2.9), (0.0, 0.4, 1.9), (0.0, 0.8, 2.0)], plain=faint)
    assert verdict.holds is None and verdict.text.startswith("Plain training memorizes too little")


def test_a_loss_that_is_never_reached_is_said():
    verdict = judged([(0.0, 0.0, 5.0), (0.0, 0.2, 4.0), (0.05, 0.3, 3.0), (0.1, 0.4, 2.5)])
    lines = {line["arm"]: line for line in verdict.figures["arms"]}
    assert lines["multi-task"]["rows_and_nats_at_best_loss_of_one_task"] == "not reached"
    assert lines["one task"]["rows_and_nats_at_best_loss_of_one_task"] == pytest.approx([0.4, 1.0])
    # both reach 2.5: plain training on its way from 3.0 to 2.0, at 0.25
    gap = verdict.figures["multi_task_minus_others_at_equal_loss"]["one task"]["rows"]
    assert gap["value"] == pytest.approx(0.1 - 0.25, abs=0.005) and gap["reached"] == 1.0


def test_figures_can_be_written_as_json():
    figures = json.loads(json.dumps(judged(PLAIN).figures))
    assert {line["arm"] for line in figures["arms"]} == set(NAMES)
    assert all(line["members"] == line["heldout"] == 200 for line in figures["arms"])
    assert len(figures["front"]) == 2 * len(NAMES)


def test_the_front_knows_a_point_that_is_beaten():
    figures = judged([(0.0, 0.0, 5.0), (0.0, 0.1, 1.5), (0.0, 0.1, 1.4), (0.0, 0.1, 1.3)]).figures
    standing = {line["point"]: line for line in figures["front"]}
    assert standing["multi-task, best loss"]["beaten_by"] is None
    assert standing["one task, last pass"]["surely"] is True


def test_arms_differ_in_nothing_but_what_they_say():
    small = replace(CLAIM, copies=((1, 6), (4, 2)), heldout=5, per_row=2.0)
    rows = small.rows(seed=0)
    assert (len(rows.members), len(rows.train), len(rows.heldout), len(rows.more)) == (8, 14, 5, 28)
    people = [r.id + str(r.meta["case"]) for r in (*rows.members, *rows.heldout, *rows.more)]
    people += [r.id + str(r.meta["case"]) for other in rows.others.values() for r in other]
    assert len(people) == len(set(people))
    cases = [r.meta["case"] for r in (*rows.members, *rows.heldout, *rows.more)]
    cases += [r.meta["case"] for other in rows.others.values() for r in other]
    assert len(cases) == len(set(cases)), "every row is of another person"
    asked = Counter(r.plain for r in rows.train)
    for arm in small.arms:
        trained = Counter(r.plain for r in small.trained_on(arm, rows, seed=0))
        mine = {text: trained[text] for text in asked}
        assert mine == (asked if arm.rows != "distinct" else dict.fromkeys(asked, 1)), arm.name
        assert not any(r.plain in trained for r in rows.heldout)
    sizes = {arm.name: len(small.trained_on(arm, rows, seed=0)) for arm in small.arms}
    assert sizes["multi-task"] == sizes["more of the task"] == 3 * sizes["one task"] == 42
    mixed = Counter(r.meta["task"] for r in small.trained_on(Arm("", "with other tasks"), rows, 0))
    assert mixed == {"summarization": 14, "dialogue": 7, "qa": 7, "translation": 7, "sentiment": 7}


@pytest.mark.slow
def test_small_run_measures_every_arm_after_every_pass():
    verdict = next(run_claim("multitask", [0], quick=True))
    lines = {line["arm"]: line for line in verdict.figures["arms"]}
    assert tuple(lines) == NAMES
    for line in lines.values():
        assert len(line["hits"]) == len(line["validation_nats"]) == 4
        assert line["hits"][0] == 0 and line["gain_nats"][0] == 0
        assert line["validation_nats"][-1] < line["validation_nats"][0], "something of the task is learned"
        assert all(math.isfinite(v) for v in line["gain_nats"])
    assert lines["one task"]["validation_nats"][-1] < lines["one task"]["validation_nats"][0] - 0.3
    assert len({line["validation_nats"][0] for line in lines.values()}) == 1, "all start from one base model"
    assert len({line["validation_nats"][-1] for line in lines.values()}) == len(NAMES), "and end elsewhere"
