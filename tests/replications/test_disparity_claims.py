"""The claims about tasks and attention: what they say of planted studies, and that a small one runs."""

from __future__ import annotations

from typing import Any

import pytest

from remanence.replications.attention_spread import AttentionSpread
from remanence.replications.disparity.contrasts import decided, said
from remanence.replications.task_disparity_excess import LENGTH, NATS, PUBLISHED, TOLD, TaskDisparityExcess
from remanence.replications.task_disparity_published import TaskDisparityPublished


def contrast(name: str, value: float | None, half: float = 0.05) -> dict[str, Any]:
    ends = (None, None) if value is None else (value - half, value + half)
    metric = "nats" if "log-probability" in name else "published"
    return {"name": name, "value": value, "low_end": ends[0], "high_end": ends[1], "metric": metric, "reason": "short"}


def study(**values: float | None) -> dict[str, Any]:
    names = {"rate": "published rate", "published": PUBLISHED, "length": LENGTH, "nats": NATS}
    told = [contrast(name, 0.0) for name in TOLD]
    line = {"metric": "published", "side": "input", "copies": "all", "task": "qa", "rate": 0.5, "n": 60,
            "floor_rate": None, "floor_n": 0}  # fmt: skip
    return {"contrasts": [contrast(names[k], v) for k, v in values.items()] + told, "effects": [line]}


@pytest.mark.parametrize(("value", "holds"), [(0.3, True), (-0.3, False), (0.01, None), (None, None)])
def test_the_published_rate_decides_by_its_interval(value: float | None, holds: bool | None) -> None:
    verdict = TaskDisparityPublished().judge(study(rate=value))
    assert verdict.holds is holds
    assert "qa 50% of 60 (floor not measurable)" in verdict.text


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
    verdict = TaskDisparityExcess().judge(study(published=published, length=length, nats=nats))
    assert verdict.holds is holds


def test_a_contrast_is_said_with_its_interval_and_unit() -> None:
    assert said(contrast("published rate", 0.25)) == "+25.0 points (+20.0 to +30.0)"
    assert said(contrast(NATS, 0.25)) == "+0.250 nats per token (+0.200 to +0.300)"
    assert said(contrast("published rate", None)) == "not measurable (short)"
    assert decided(contrast("published rate", 0.04)) is None


@pytest.mark.parametrize(
    ("plain", "partial", "holds"),
    [((0.2, 0.1), (0.2, 0.1), True), ((0.2, 0.1), (0.2, -0.1), None), ((-0.3, -0.5), (0.1, 0.0), False)],
)
def test_attention_must_go_with_memorization_with_and_without_covariates(
    plain: tuple[float, float], partial: tuple[float, float], holds: bool | None
) -> None:
    lines = [
        {"statistic": "entropy", "held_fixed": held, "rho": rho, "low": low, "high": 2 * rho - low}
        for held, (rho, low) in (("", plain), ("length", partial))
    ]
    lines.append({"statistic": "base_entropy", "held_fixed": "", "rho": 0.1, "low": 0.0, "high": 0.2})
    verdict = AttentionSpread().judge({"attention": {"pooled": lines, "sentences": ["Within tasks, so."]}})
    assert verdict.holds is holds and "rho +0.10" in verdict.text


@pytest.mark.slow
def test_a_small_study_gives_all_three_verdicts() -> None:
    claims = (TaskDisparityPublished.quick(), TaskDisparityExcess.quick(), AttentionSpread.quick())
    verdicts = [claim(0) for claim in claims]  # one experiment: the second and third read what the first made
    assert all(v.holds in (True, False, None) and v.text for v in verdicts)
    rates = verdicts[0].figures["rates"]
    assert [line["task"] for line in rates] == ["summarization", "dialogue", "qa", "translation", "sentiment"]
    assert all(line["n"] == 16 and line["floor_n"] == 16 for line in rates)
