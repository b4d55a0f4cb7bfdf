"""A level for each task and each seed, and what stays of a predictor beside them."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import NotMeasured
from remanence.stats.mixed import mixed_model, reml


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


def test_two_tasks_of_two_rows_by_hand():
    """Rows 0, 2 and 10, 12: mean squares 2 within and 100 between, so s^2 = 2 and s_task^2 = (100 - 2) / 2 = 49."""
    marks = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    fit = reml(np.array([0.0, 2, 10, 12]), np.ones((4, 1)), [marks])
    assert fit.s**2 == pytest.approx(2, rel=1e-4) and fit.s_k[0] ** 2 == pytest.approx(49, rel=1e-3)
    assert fit.b == pytest.approx([6]) and fit.covariance[0, 0] == pytest.approx(100 / 4, rel=1e-3)


def test_equal_tasks_have_no_spread():
    marks = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    fit = reml(np.array([0.0, 2, 0, 2]), np.ones((4, 1)), [marks])
    assert fit.s_k[0] == pytest.approx(0, abs=1e-3) and fit.s**2 == pytest.approx(4 / 3, rel=1e-4)


def test_it_is_the_best_of_a_fine_grid_written_out_in_full():
    """The restricted likelihood with the whole N x N matrix, at a thousand pairs of spreads."""
    t = made(1, n=60)
    X = np.column_stack([np.ones(60), t["attention"], t["length"]])
    Z = [(t[k][:, None] == np.arange(t[k].max() + 1)).astype(float) for k in ("task", "seed")]
    fit = reml(t["score"], X, Z)

    def deviance(*spreads: float) -> float:
        H = np.eye(60) + sum(s**2 * z @ z.T for s, z in zip(spreads, Z, strict=True))
        inverse = np.linalg.inv(H)
        b = np.linalg.solve(X.T @ inverse @ X, X.T @ inverse @ t["score"])
        rest = t["score"] - X @ b
        logs = np.linalg.slogdet(H)[1] + np.linalg.slogdet(X.T @ inverse @ X)[1]
        return float(logs + 57 * np.log(rest @ inverse @ rest))

    grid = [deviance(a, b) for a in np.geomspace(0.05, 20, 40) for b in np.linspace(0, 2, 25)]
    best = deviance(*(fit.s_k / fit.s))
    assert best <= min(grid) + 1e-6 and best > min(grid) - 0.5


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
    twice = made(6)
    with pytest.raises(NotMeasured, match="one predictor follows from the others"):
        fit(twice | {"length": 2 * twice["attention"] + 1})
    t = made(5)
    with pytest.raises(NotMeasured, match="the outcome is the same in all 400 rows"):
        fit(t | {"score": np.zeros(400)})
    with pytest.raises(NotMeasured, match="no grouping has more than one level"):
        fit(t | {"task": np.zeros(400), "seed": np.zeros(400)})
    with pytest.raises(NotMeasured, match="needs at least 7 rows, got 3"):
        fit({k: v[:3] for k, v in t.items()})
