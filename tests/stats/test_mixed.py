"""A level for each task and each seed, and what stays of a predictor beside them."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.stats.mixed import mixed_model

pytest.importorskip("statsmodels", reason="the mixed model needs the extra `study`")


def made(seed: int, n: int = 400, effect: float = 0.5) -> dict[str, np.ndarray]:
    """Five tasks far apart, three seeds close together; attention and length go with the task."""
    rng = np.random.default_rng(seed)
    task, run = rng.integers(0, 5, n), rng.integers(0, 3, n)
    level, drift = 3 * rng.normal(size=5), 0.3 * rng.normal(size=3)
    attention, length = rng.normal(size=n) + task, 20 * (rng.normal(size=n) - task)
    score = effect * attention - 0.02 * length + level[task] + drift[run] + rng.normal(size=n)
    return {"task": task, "seed": run, "attention": attention, "length": length, "score": score}


def fit(t: dict[str, np.ndarray], **arguments: bool):
    return mixed_model(
        t["score"],
        {"attention": t["attention"], "length": t["length"]},
        {"task": t["task"].tolist(), "seed": t["seed"].tolist()},
        **arguments,
    )


def test_the_true_coefficients_lie_in_their_intervals_and_noise_does_not_count():
    inside = 0
    for seed in range(8):
        found = fit(made(seed), standardise=False).fixed
        inside += found["attention"].interval.low <= 0.5 <= found["attention"].interval.high
        assert found["attention"].interval.low > 0.2 and found["attention"].p_value < 1e-4
        assert found["length"].value == pytest.approx(-0.02, abs=0.012)
    assert inside >= 6
    none = [fit(made(seed, effect=0.0)).fixed["attention"].interval for seed in range(8)]
    assert sum(low <= 0 <= high for low, high in none) >= 6


def test_of_large_tasks_it_is_least_squares_within_tasks_and_seeds():
    t = made(11, n=2000)
    found = fit(t, standardise=False)
    levels = [t["task"][:, None] == np.arange(1, 5), t["seed"][:, None] == np.arange(1, 3)]
    design = np.column_stack([t["attention"], t["length"], np.ones(2000), *levels]).astype(float)
    within = np.linalg.lstsq(design, t["score"])[0]
    assert found.fixed["attention"].value == pytest.approx(within[0], abs=0.01)
    assert found.fixed["length"].value == pytest.approx(within[1], abs=0.0005)
    assert found.spread["rest"] == pytest.approx(1, abs=0.06)
    assert found.spread["task"] > 1 > found.spread["seed"]


def test_standardised_coefficients_are_in_standard_deviations():
    t = made(3)
    raw, scaled = fit(t, standardise=False).fixed["attention"], fit(t).fixed["attention"]
    ratio = t["attention"].std() / t["score"].std()
    assert scaled.value == pytest.approx(raw.value * ratio) and scaled.p_value == pytest.approx(raw.p_value)
    assert list(scaled.interval) == pytest.approx([end * ratio for end in raw.interval])


def test_rows_with_gaps_are_left_out_and_a_single_seed_is_no_grouping():
    t = made(4)
    t["attention"][:7] = np.nan
    t["seed"][:] = 0
    found = fit(t)
    assert (found.n, found.left_out) == (393, 7) and set(found.spread) == {"task", "rest"}


def test_what_cannot_be_fitted_is_said():
    t = made(5)
    with pytest.raises(NotMeasured, match="the outcome is the same in all 400 rows"):
        fit(t | {"score": np.zeros(400)})
    with pytest.raises(NotMeasured, match="no grouping has more than one level"):
        fit(t | {"task": np.zeros(400), "seed": np.zeros(400)})
    with pytest.raises(NotMeasured, match="needs at least 7 rows, got 3"):
        fit({k: v[:3] for k, v in t.items()})
