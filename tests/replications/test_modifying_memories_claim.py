"""The claim on modified facts judges by the rule it states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remanence.replications.modifying_memories import FREE, SmallStepsSpareFacts, fit, knows, share
from remanence.replications.run import run_claim

CLAIM = SmallStepsSpareFacts()


def line(way: str, delta: float, new: int, kept: int, probe: int | None = None) -> dict[str, Any]:
    counts = {"new": (new, 32), "kept": (kept, 100), "probe": (kept if probe is None else probe, 100)}
    groups = {part: {"known": known, "facts": facts} for part, (known, facts) in counts.items()}
    means = {"mean": new / 64 + kept / 200, "probe_mean": new / 64 + groups["probe"]["known"] / 200}
    return {"way": way, "delta": None if delta == FREE else delta, **groups, **means}


def judged(ball: int = 90, free: int = 20, rewritten: int = 32, start: int = 100):
    table = [
        line("as trained", 0.0, 0, start),
        line("free", FREE, 32, free),
        line("delta 0.003", 3e-3, rewritten, ball),
        line("delta 0.0003", 3e-4, 2, 99),
        line("delta 0.005, block 0", 5e-3, 32, 60),
        line("delta 0.005, block 1", 5e-3, 4, 90),
        line("free, with replay", FREE, 32, 70),
    ]
    flags = {row["way"]: np.arange(100) < row["kept"]["known"] for row in table}
    return CLAIM.judge(table, flags, seed=0)


def test_verdicts_by_hand():
    verdict = judged()
    assert verdict.holds is True and verdict.figures["chosen"] == "delta 0.003"
    assert verdict.figures["parts"] == {
        "narrower_spares_more": True,
        "too_narrow_fails": True,
        "first_block_best": True,
    }
    assert judged(ball=55).holds is False  # spares more, by less than 0.4
    assert judged(ball=19).holds is False
    assert judged(rewritten=20).holds is False
    assert judged(start=80).holds is None


def test_facts_are_all_pairs_and_new_objects_differ():
    facts = SmallStepsSpareFacts(subjects=3, relations=2, objects=4).facts(np.random.default_rng(0))
    assert facts[:, 0].tolist() == [0, 0, 1, 1, 2, 2] and facts[:, 1].tolist() == [3, 4] * 3
    assert facts[:, 2].min() >= 5 and facts[:, 2].max() < 9


def test_a_tiny_model_learns_and_stays_in_its_ball():
    claim = SmallStepsSpareFacts(subjects=4, relations=2, objects=4, steps=60, width=32, layers=1)
    facts = claim.facts(np.random.default_rng(0))
    model = claim.learn(facts, seed=0)
    assert knows(model, facts).mean() == 1
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    new = facts[:2].copy()
    new[:, 2] = 6 + (new[:, 2] - 5) % 4
    new[:, 2] = np.where(new[:, 2] > 9, 6, new[:, 2])
    fit(model, new, 5, 1e-3, facts[2:], 2e-3, r"\.h\.0\.")
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in model.named_parameters()}
    assert all((".h.0." in name) == (move > 0) for name, move in moved.items())
    assert max(moved.values()) <= 2e-3 + 1e-7
    assert share({"known": 1, "facts": 4}) == 0.25


@pytest.mark.slow
def test_small_run_spares_facts():
    verdict = next(run_claim("modifying_memories", [0], quick=True))
    lines = {row["way"]: row for row in verdict.figures["table"]}
    assert share(lines["as trained"]["kept"]) == 1
    assert share(lines["delta 0.001"]["kept"]) > share(lines["free"]["kept"]) + 0.2
    assert lines["delta 0.001"]["largest_move"] <= 1e-3 + 1e-7
    assert verdict.holds is True
