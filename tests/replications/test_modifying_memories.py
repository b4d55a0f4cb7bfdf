"""The experiment on modified facts judges by the rule it states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from remanence.replications.frame.figure import Figures, Row, share
from remanence.replications.modifying_memories import SmallStepsSpareFacts, fit, knows

EXPERIMENT = SmallStepsSpareFacts(deltas=(0.003, 0.0003), layers=2)


def row(rewritten: int, kept: int, probe: int | None = None) -> Row:
    return {
        "rewritten": share(np.arange(32) < rewritten),
        "probe facts kept": share(np.arange(100) < (kept if probe is None else probe)),
        "other facts kept": share(np.arange(100) < kept),
    }


def judged(ball: int = 90, free: int = 20, rewritten: int = 32, start: int = 100, free_rewritten: int = 32) -> Any:
    rows = {
        "as trained": row(0, start),
        "free": row(free_rewritten, free),
        "delta 0.003": row(rewritten, ball),
        "delta 0.0003": row(2, 99),
        "delta 0.005, block 0": row(32, 60),
        "delta 0.005, block 1": row(4, 90),
        "free, with replay": row(32, 70),
        "delta 0.005, with replay": row(32, 80),
    }
    return EXPERIMENT.judge(EXPERIMENT.figures(rows, seed=0))


def test_verdicts_by_hand():
    verdict = judged()
    assert verdict.holds is True and "the ball chosen on other facts, delta 0.003, rewrites 32 of 32" in verdict.text
    assert [part.holds for part in verdict.figures["parts"] if part.role == "beside"] == [True, True, True]
    assert verdict.figures["figures"]["delta 0.003, minus free"]["other facts kept"].value == pytest.approx(0.7)
    assert judged(ball=55).holds is False  # spares more, by less than 0.4
    assert judged(ball=19).holds is False
    assert judged(rewritten=20).holds is False
    assert judged(start=80).holds is None
    assert judged(free_rewritten=20).holds is None


def test_facts_are_all_pairs_and_new_objects_differ():
    facts = SmallStepsSpareFacts(subjects=3, relations=2, objects=4).facts(np.random.default_rng(0))
    assert facts[:, 0].tolist() == [0, 0, 1, 1, 2, 2] and facts[:, 1].tolist() == [3, 4] * 3
    assert facts[:, 2].min() >= 5 and facts[:, 2].max() < 9


def test_a_tiny_model_learns_and_stays_in_its_ball():
    experiment = SmallStepsSpareFacts(subjects=4, relations=2, objects=4, steps=60, width=32, layers=1)
    facts = experiment.facts(np.random.default_rng(0))
    model = experiment.learn(facts, seed=0)
    assert knows(model, facts).mean() == 1
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    new = facts[:2].copy()
    new[:, 2] = 6 + (new[:, 2] - 5) % 4
    new[:, 2] = np.where(new[:, 2] > 9, 6, new[:, 2])
    fit(model, new, 5, 1e-3, facts[2:], 2e-3, r"\.h\.0\.")
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in model.named_parameters()}
    assert all((".h.0." in name) == (move > 0) for name, move in moved.items())
    assert max(moved.values()) <= 2e-3 + 1e-7


@pytest.mark.slow
def test_small_run_spares_facts(quick: Callable[[str], Figures]):
    rows = quick("modifying_memories")
    kept = {name: figures["other facts kept"].value for name, figures in rows.items()}
    assert kept["as trained"] == 1
    assert kept["delta 0.001"] > kept["free"] + 0.2
    assert rows["delta 0.001"]["largest move"].value <= 1e-3 + 1e-7
    assert SmallStepsSpareFacts.at("quick").judge(rows).holds is True
