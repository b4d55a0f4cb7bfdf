"""Which state is recommended, on figures made by hand; and what the verdict then says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.jobs.forget.conclude import recommend
from remanence.jobs.forget.methods import GRID, SWEPT, methods, planned
from remanence.jobs.forget.sentences import _membership, _recommended  # pyright: ignore[reportPrivateUsage]
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.forget.snapshot import SideSnapshot, loss_increase


def judged(method: str, removed: float, rise: float, kind: str = "after", within: bool = True) -> dict[str, Any]:
    return {
        "method": method, "slug": f"{method}-0", "setting": "", "strength": 5.0, "unit": "steps", "kind": kind,
        "removed": removed, "rise": rise, "loss": 2 * (1 + rise), "within": within,
    }  # fmt: skip


def test_of_those_that_reach_the_goal_the_lowest_loss_wins() -> None:
    all_of_them = [
        judged("thorough", 1.0, 0.015),
        judged("gentle", 0.96, 0.001),
        judged("half", 0.5, -0.01),
        judged("ruinous", 1.0, 3.0, within=False),
        judged("guard", 1.0, 0.0, kind="decoding"),
    ]
    those = {one["method"]: one for one in all_of_them}
    best = recommend(those, 0.95)
    assert best is not None and best["method"] == "gentle"
    told = _recommended(best, those, 0.95)
    assert told["reasons"] == [
        "2 of 5 methods remove at least 95.0 % of the excess at an allowed cost; this one has the lowest held-out "
        "loss (+0.1 %).",
        "Next to it: thorough (+1.5 %).",
    ]


def test_below_the_goal_the_most_thorough_wins_and_nothing_is_nothing() -> None:
    those = {one["method"]: one for one in (judged("half", 0.5, 0.01), judged("third", 0.33, 0.0))}
    best = recommend(those, 0.95)
    assert best is not None and best["method"] == "half"
    assert "No method removes 95.0 %" in _recommended(best, those, 0.95)["reasons"][0]
    assert recommend({"idle": judged("idle", 0.0, 0.0), "ruin": judged("ruin", 1.0, 1.0, within=False)}, 0.95) is None


def test_membership_is_two_sided() -> None:
    before = {"auc": 1.0}
    over = {"auc": 0.1, "auc_low": 0.05, "auc_high": 0.2}
    left = {"auc": 0.9, "auc_low": 0.8, "auc_high": 0.95}
    gone = {"auc": 0.5, "auc_low": 0.4, "auc_high": 0.6}
    assert "over-unlearned" in _membership(over, before)
    assert "can still be detected" in _membership(left, before)
    assert "does not distinguish" in _membership(gone, before)


def test_the_rise_of_the_loss_is_that_of_all_tokens() -> None:
    def seen(nll: list[float]) -> SideSnapshot:
        nothing = np.full(3, np.nan)
        return SideSnapshot(nothing, np.array(nll), np.array([10.0, 10.0, 5.0]), nothing, nothing, rows=())

    rise = loss_increase(seen([20.0, 30.0, 10.0]), seen([22.0, 33.0, 11.0]), seed=0)
    assert rise.value == pytest.approx(0.1) and rise.interval == pytest.approx((0.1, 0.1))
    mixed = loss_increase(seen([20.0, 30.0, 10.0]), seen([20.0, 36.0, 10.0]), seed=0)
    assert mixed.value == pytest.approx(0.1) and mixed.interval.low == 0.0 < 0.1 < mixed.interval.high


def test_auto_tries_what_needs_nothing_else_and_names_are_checked() -> None:
    plans, _ = planned(ForgetSettings(methods=("auto",)), set())
    assert {plan.kind for plan in plans} == {"after"}
    assert sum(plan.method == "npo" for plan in plans) == len(SWEPT)
    assert [plan.setting for plan in plans if plan.method == "task_vector"].count("origin=base") == 0
    with pytest.raises(RemanenceError, match="There is no method 'amnesia'"):
        planned(ForgetSettings(methods=("amnesia",)), set())
    with pytest.raises(RemanenceError, match=r"goldfish trains the base model once more"):
        planned(ForgetSettings(methods=("goldfish",)), set())
    everything, notes = planned(ForgetSettings(methods=("all",)), {"base", "recipe", "models"})
    assert {plan.method for plan in everything} | {"multitask"} == set(methods()) and not notes
    assert len({plan.slug for plan in everything}) == len(everything)
    some, notes = planned(ForgetSettings(methods=("all",)), set())
    assert any(note.startswith("goldfish was left out") for note in notes)
    assert {plan.method for plan in some} < {plan.method for plan in everything}
    assert set(GRID) <= set(methods())
