"""The experiments on tasks and attention: what they say of planted studies, and that a small one runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.verdict import quantities
from remanence.replications.attention_spread import AttentionSpread
from remanence.replications.five_tasks import ARM, contrast
from remanence.replications.frame.figure import Figures
from remanence.replications.task_disparity_excess import COLUMNS, OUTPUTS, TaskDisparityExcess
from remanence.replications.task_disparity_published import RATE, TaskDisparityPublished

PUBLISHED, LENGTH, NATS = COLUMNS.values()


def line(name: str, value: float | None, half: float = 0.05) -> dict[str, Any]:
    ends = (None, None) if value is None else (value - half, value + half)
    metric = "nats" if "log-probability" in name else "published"
    return {"name": name, "value": value, "low_end": ends[0], "high_end": ends[1], "metric": metric}


def study(**values: float | None) -> dict[str, Any]:
    names = {"rate": "published rate", "published": PUBLISHED, "length": LENGTH, "nats": NATS}
    outputs = [line(name, 0.0) for name in OUTPUTS.values()]
    effects = {"metric": "published", "side": "input", "copies": "all", "task": "qa"}
    for prefix, rate in (("", 0.5), ("floor_", None), ("base_", 0.5), ("ceiling_", 1.0)):
        effects |= {f"{prefix}rate": rate, f"{prefix}low": 0.3, f"{prefix}high": 0.7, f"{prefix}n": 60}
    return {"contrasts": [line(names[k], v) for k, v in values.items()] + outputs, "effects": [effects]}


def judged(experiment: Any, planted: dict[str, Any]) -> Any:
    return experiment.judge(experiment.figures({ARM: experiment.measure(planted, None, 0)}, 0))


@pytest.mark.parametrize(("value", "holds"), [(0.3, True), (-0.3, False), (0.01, None), (None, None)])
def test_the_published_rate_decides_by_its_interval(value: float | None, holds: bool | None) -> None:
    verdict = judged(TaskDisparityPublished(), study(rate=value))
    assert verdict.holds is holds
    assert "qa 30 of 60 (unseen rows not measured)" in verdict.text


@pytest.mark.parametrize(
    ("published", "length", "nats", "holds"),
    [
        (0.3, 0.2, 0.1, True),
        (0.3, 0.2, -0.1, False),  # one of the three turned round
        (0.3, 0.01, 0.1, None),  # one of the three cannot be told from nothing
        (0.3, None, 0.1, None),  # or not be measured
        (-0.3, -0.2, -0.1, False),
    ],
)
def test_after_floors_all_three_readings_must_agree(
    published: float, length: float | None, nats: float, holds: bool | None
) -> None:
    verdict = judged(TaskDisparityExcess(), study(published=published, length=length, nats=nats))
    assert verdict.holds is holds


def test_the_contrasts_have_the_names_that_the_study_gives_them() -> None:
    names = {name for name, _, _ in quantities(StudySettings())}
    assert {RATE, *COLUMNS.values(), *OUTPUTS.values()} <= names


def test_a_contrast_is_written_with_its_interval_and_unit() -> None:
    planted = study(rate=0.25, nats=0.25, length=None)
    assert str(contrast(planted, "published rate")) == "+25.0 points (+20.0 to +30.0)"
    assert str(contrast(planted, NATS)) == "+0.250 nats (+0.200 to +0.300)"
    assert str(contrast(planted, LENGTH)) == "not measured"


@pytest.mark.parametrize(
    ("plain", "partial", "holds"),
    [
        ((0.2, 0.1), (0.2, 0.1), True),
        ((0.2, 0.1), (0.2, -0.1), None),
        ((-0.3, -0.5), (0.1, 0.0), False),
        ((None, 0.0), (0.2, 0.1), None),
    ],
)
def test_attention_must_go_with_memorization_with_and_without_covariates(
    plain: tuple[float | None, float], partial: tuple[float, float], holds: bool | None
) -> None:
    lines = [
        {"statistic": statistic, "held_fixed": held, "rho": rho, "low": low, "high": 2 * (rho or 0) - low}
        for statistic, both in (("entropy", (plain, partial)), ("base_entropy", ((0.1, 0.0), (0.1, 0.0))))
        for held, (rho, low) in zip(("", "length"), both, strict=True)
    ]
    added = {"auc_without": 0.7, "auc_with": 0.75, "difference": 0.05, "low": -0.1, "high": 0.2, "n": 40}
    mixed = {"term": "attention entropy", "estimate": 0.1, "low": 0.0, "high": 0.2}
    planted = {"attention": {"pooled": lines, "added": [added], "mixed": [mixed]}}
    verdict = judged(AttentionSpread(), planted)
    assert verdict.holds is holds and "The base model's own attention, likewise: +0.100" in verdict.text


@pytest.mark.slow
def test_a_small_study_gives_all_three_verdicts(quick: Callable[[str], Figures]) -> None:
    """One study: the second and third read what the first made."""
    published = quick("task_disparity_published")
    assert list(published)[1:] == ["summarization", "dialogue", "qa", "translation", "sentiment"]
    assert all(row["rows trained on"].n == row["unseen rows"].n == 16 for row in list(published.values())[1:])
    assert set(quick("task_disparity_excess")[ARM]) == {*COLUMNS, *OUTPUTS}
    assert quick("attention_spread")[ARM]["AUC with attention"].n is not None
