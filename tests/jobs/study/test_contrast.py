"""What is left of the differences between families: by hand, and what happens where something cannot be measured."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.jobs.study.arm import Arm
from remanence.jobs.study.outcomes import Cell
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.summary import Recipe, Summed, effect_lines, summed
from remanence.jobs.study.verdict import FEW, Ends, _contrasts, _kind, _sentences, _where, combined, says  # pyright: ignore[reportPrivateUsage]

SETTINGS = StudySettings(rounds=200)
PUBLISHED = Cell("published", "input", "50", 100)


def study(rates: dict[str, tuple[float, float, float, float]], rows: int = 100) -> list[Summed]:
    """One seed per task with so many per cent of members, held-out, base members, base held-out flagged."""
    found: list[Summed] = []
    for task, sides in rates.items():
        values = [np.array([1.0] * round(rows * p) + [0.0] * (rows - round(rows * p)), np.float32) for p in sides]
        whose = [("tuned", "train"), ("tuned", "heldout"), ("base", "train"), ("base", "heldout")]
        cells = {who: {PUBLISHED: v} for who, v in zip(whose, values, strict=True)}
        copies = np.array([4] * min(10, rows) + [1] * max(0, rows - 10))
        found += summed(Recipe(Arm(task, "m", "all"), [0], [cells], [copies]), SETTINGS)
    return found


FLOOR_ONLY = {
    "summarization/a": (0.6, 0.6, 0.1, 0.1),
    "dialogue/b": (0.5, 0.5, 0.1, 0.1),
    "qa/c": (0.1, 0.1, 0.0, 0.0),
    "translation/d": (0.0, 0.0, 0.0, 0.0),
    "sentiment/e": (0.0, 0.0, 0.0, 0.0),
}


def contrasts(found: list[Summed]) -> dict[str, dict[str, object]]:
    whole = [one for one in found if one.copies == "all"]
    return {line["name"]: line for line in _contrasts(_kind(whole[0].recipe.arm), whole, SETTINGS)}


def test_a_disparity_that_is_all_floor_does_not_survive() -> None:
    lines = contrasts(study(FLOOR_ONLY))
    rate, excess = lines["published rate"], lines["published rate above its floor"]
    assert rate["value"] == pytest.approx(0.55 - 0.1 / 3, abs=0.02) and rate["low_end"] > 0.3
    assert excess["value"] == pytest.approx(0) and excess["low_end"] < 0 < excess["high_end"]
    said = _sentences(list(lines.values()), [("m", "all", 6, 2e-3, 8, 0)])
    assert "summarization and dialogue stand" in said[0] and "above qa, translation and sentiment" in said[0]
    assert "the difference is gone" in said[0]


def test_one_that_is_memory_survives_and_one_that_the_base_model_has_does_not_outlive_it() -> None:
    rates = FLOOR_ONLY | {"summarization/a": (0.9, 0.2, 0.1, 0.1), "dialogue/b": (0.6, 0.1, 0.6, 0.1)}
    lines = contrasts(study(rates))
    assert lines["published rate above its floor"]["low_end"] > 0
    did = lines["published rate above floor and base"]
    assert did["value"] == pytest.approx(0.35, abs=1e-6)  # summarization 0.7, dialogue 0
    assert did["families"]["dialogue"]["value"] == pytest.approx(0)


def test_families_nobody_can_measure_are_left_out_and_the_reason_is_told() -> None:
    lines = contrasts(study({"summarization": (0.5, 0.1, 0, 0), "dialogue": (0.5, 0.1, 0, 0)}))
    assert lines["published rate"]["value"] is None
    assert says(lines["published rate"]) == "cannot be measured"
    assert "too short" in str(lines["log-probability of inputs, above floor and base"]["reason"])


def test_other_families_are_compared_highest_against_lowest() -> None:
    lines = contrasts(study({"letters": (0.5, 0.1, 0, 0), "notes": (0.9, 0.1, 0, 0), "calls": (0.1, 0.1, 0, 0)}))
    line = lines["published rate above its floor"]
    assert (line["high"], line["low"]) == (["notes"], ["calls"])
    assert line["value"] == pytest.approx(0.8)


def test_arms_that_differ_in_their_rate_are_told_apart() -> None:
    kinds = [("m", "all", 6, 2e-3, 8, 0), ("m", "all", 6, 4e-3, 8, 0), ("m", "completion", 6, 2e-3, 8, 0)]
    assert [_where(kind, kinds) for kind in kinds] == [
        "m, loss on inputs too, rate 0.002", "m, loss on inputs too, rate 0.004", "m, loss on outputs",
    ]  # fmt: skip


def test_intervals_of_independent_figures_add_like_standard_errors() -> None:
    # 0.5 (0.4 to 0.7) minus 0.2 (0.1 to 0.25): down by hypot(0.1, 0.05), up by hypot(0.2, 0.1)
    gap = combined([(1.0, Ends(0.5, 0.4, 0.7)), (-1.0, Ends(0.2, 0.1, 0.25))])
    assert gap == pytest.approx((0.3, 0.3 - np.hypot(0.1, 0.05), 0.3 + np.hypot(0.2, 0.1)))


def test_where_no_row_is_flagged_anywhere_the_interval_is_not_a_point() -> None:
    nothing = dict.fromkeys(FLOOR_ONLY, (0.0, 0.0, 0.0, 0.0))
    for name in ("published rate", "published rate above its floor", "published rate above floor and base"):
        line = contrasts(study(nothing))[name]
        assert line["value"] == 0 and line["low_end"] < 0 < line["high_end"], name


def test_a_task_with_few_measurable_rows_is_in_no_contrast() -> None:
    lines = contrasts(study(FLOOR_ONLY) + study({"qa/tiny": (1.0, 0.0, 0.0, 0.0)}, rows=9 + 1)[:1])
    assert lines["published rate"]["families"]["qa"]["value"] == pytest.approx(0.55)  # ten rows are enough
    lines = contrasts(study(FLOOR_ONLY) + study({"qa/tiny": (1.0, 0.0, 0.0, 0.0)}, rows=FEW - 1)[:1])
    assert lines["published rate"]["families"]["qa"]["value"] == pytest.approx(0.1)


def test_effect_lines_count_every_side_and_stratum() -> None:
    found = study({"qa": (0.2, 0.1, 0.05, 0.0)})
    lines = {line["copies"]: line for one in found for line in effect_lines(one)}
    assert set(lines) == {"all", "1", "4"}
    whole = lines["all"]
    assert (whole["hits"], whole["n"], whole["floor_hits"], whole["base_hits"]) == (20, 100, 10, 5)
    assert whole["excess"] == pytest.approx(0.1) and whole["did"] == pytest.approx(0.05)
    assert whole["ceiling_n"] == 0 and whole["normalised"] is None
    assert (lines["4"]["hits"], lines["4"]["n"], lines["1"]["n"]) == (10, 10, 90)
