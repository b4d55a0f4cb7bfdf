"""The sparse-coding experiment judges by the rule it states: it can say yes, no, and that it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from remanence.core.finding import Finding
from remanence.corpora.fields import FieldRecords
from remanence.explain.sparse_coding.field_memory import Measured
from remanence.replications.frame.figure import Figures
from remanence.replications.sparse_coding import (
    CONDITIONS,
    EVERY,
    LINEAR,
    SKIPPED,
    WRITTEN,
    SkippedFieldsAreKept,
    arm_name,
    linear_rows,
    on,
    row,
)

EXPERIMENT = SkippedFieldsAreKept()
TASK = FieldRecords()
NAMES = [condition.name for condition in CONDITIONS]
Bits = Callable[[int, bool], float]
"""Mean bits above chance, by number of needed fields and whether the field is needed."""


def arm(s: int, bits: Bits, spread: float = 0.5, records: int = 128) -> Measured:
    """A model whose memory is planted: 1.4 bits for records never seen."""
    rng, needed = np.random.default_rng(s), TASK.needed(s)
    level = np.array([bits(s, j in needed) for j in range(8)])
    exposure, floor = (1.4 + part + spread * rng.normal(size=(records, 8)) for part in (level, 0))
    read = np.broadcast_to(np.isin(np.arange(8), needed), (50, 8))
    return Measured(tuple(needed), exposure, floor, exposure > 5, floor > 5, (1.4, 1.4), 1.0, read, read)


def linear(slope: float = -1.0) -> list[Finding]:
    both = {"regression_standard_error": 0.1, "descent_standard_error": 0.1}
    return [
        Finding(f"needs {s}", "sparse_coding", 0.1 * s, {**both, **dict.fromkeys(
            ("closed_form", "regression", "descent"), 10 + slope * s)})
        for s in (1, 2, 4, 8)
    ]  # fmt: skip


def judged(*bits: Bits, slope: float = -1.0, spread: float = 0.5, records: int = 128) -> Any:
    per_condition: Sequence[Bits] = bits if len(bits) == 3 else bits * 3
    arms = {
        arm_name(condition, s): row(arm(s, one, spread, records), seed=0)
        for condition, one in zip(CONDITIONS, per_condition, strict=True)
        for s in (0, 1, 2, 4, 8)
    }
    figures = EXPERIMENT.figures(arms | {"base model": row(arm(8, lambda s, needed: 0.0), seed=0)}, seed=0)
    simulated = [name for name in figures if name.startswith(LINEAR)]
    assert len(simulated) == 4
    return EXPERIMENT.judge(
        {name: figures[name] for name in figures if name not in simulated} | linear_rows(linear(slope))
    )


def grows(s: int, needed: bool) -> float:
    return 1 + np.log2(max(s, 1)) / 2


def flat(s: int, needed: bool) -> float:
    return 2.0


def only_needed(s: int, needed: bool) -> float:
    return 2.0 if needed else 0.0


def test_verdicts_by_hand():
    assert judged(grows).holds is True
    assert judged(flat).holds is False
    assert judged(only_needed).holds is False  # memory grows, but not of what is skipped
    assert judged(grows, grows, flat).holds is False  # not under every condition
    assert judged(grows, slope=0.0).holds is False  # the linear statement itself fails
    assert judged(grows, spread=40.0, records=16).holds is None  # too noisy to tell
    forgets = judged(lambda s, needed: 0.2)
    assert forgets.holds is None and forgets.text.startswith("Control failed: the models memorized 0.2")


def test_trends_are_those_that_were_planted():
    figures = judged(only_needed).figures["figures"]
    for name in NAMES:
        # Of 8 fields s hold 2 bits: 2s/8 bits on average, at s = 1, 2, 4, 8; least squares on log2 s gives 0.575.
        assert figures[name][EVERY].value == pytest.approx(0.575, abs=0.03)
        assert figures[name][SKIPPED].value == pytest.approx(0, abs=0.1)
        # The probe reads s of 8 fields.
        assert figures[name][WRITTEN].value == pytest.approx(0.2875)
    assert judged(grows).figures["figures"][NAMES[0]][SKIPPED].value == pytest.approx(0.5, abs=0.1)


def test_a_row_counts_the_skipped_apart():
    figures = row(replace_exact(arm(2, only_needed), needed_said=True), seed=0)
    assert (figures["skipped, exact"].hits, figures["skipped, exact"].n) == (0, 128 * 6)
    assert (figures["needed, exact"].hits, figures["needed, exact"].n) == (256, 256)
    assert figures["needed, bits"].value - figures["skipped, bits"].value == pytest.approx(2, abs=0.1)
    assert figures["skipped, bits"].low < figures["skipped, bits"].value < figures["skipped, bits"].high
    assert figures["read at writing"].value == pytest.approx(2 / 8)
    assert figures["read at writing, skipped"].value == 0
    assert np.isnan(row(arm(8, flat), seed=0)["skipped, bits"].value)


def replace_exact(one: Measured, needed_said: bool) -> Measured:
    exact = np.zeros_like(one.exact)
    exact[:, list(one.needed)] = needed_said
    return one._replace(exact=exact)


def test_which_tokens_carry_loss():
    ids = torch.from_numpy(TASK.rows(TASK.draw(2, np.random.default_rng(0)), [0]))
    counted = {kind: (on(kind, TASK)(ids)[1] != -100).sum(dim=1).tolist() for kind in ("inputs", "outputs", "both")}
    # 1 start, 2 key, 8 fields, 1 mark; then 8 places and the end, the same for every task
    assert counted == {"inputs": [12, 12], "outputs": [9, 9], "both": [21, 21]}


@pytest.mark.slow
def test_small_run_is_measured(quick: Callable[[str], Figures]):
    figures = quick("sparse_coding")
    assert sum(name.startswith("loss") and ", needs" in name for name in figures) == 2 * 5
    both, outputs = CONDITIONS[2], CONDITIONS[1]

    def beyond_unseen(condition: Any, s: int, fields: str) -> float:
        arm = figures[arm_name(condition, s)]
        return arm[f"{fields}, bits"].value - arm[f"{fields}, bits, unseen"].value

    for s in (1, 2, 4):  # what is a target is memorized; what is neither target nor needed is not
        assert beyond_unseen(both, s, "skipped") > 0.5
        assert abs(beyond_unseen(outputs, s, "skipped")) < 0.5
    assert beyond_unseen(outputs, 8, "needed") > 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures():
    smaller = replace(SkippedFieldsAreKept.at("quick"), conditions=CONDITIONS[2:], epochs=1, probe_records=50)
    assert smaller(1) == smaller(1)
