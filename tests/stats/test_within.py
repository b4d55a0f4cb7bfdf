"""Within a task, by ranks: what is left when the task itself can no longer explain it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from remanence.stats.within import centred_ranks, draws, within_rank_correlation


def test_two_tasks_that_fall_while_their_levels_rise():
    """Simpson's paradox on six rows: over all of them rho is +0.54, in each task it is -1."""
    x, y, tasks = np.array([1.0, 2, 3, 4, 5, 6]), np.array([3.0, 2, 1, 6, 5, 4]), list("aaabbb")
    assert stats.spearmanr(x, y).statistic == pytest.approx(1 - 6 * 16 / 210)
    found = within_rank_correlation(np.tile(x, 2), np.tile(y, 2), tasks * 2, rounds=50)
    assert found.pooled is not None and found.pooled.rho == pytest.approx(-1)
    assert {k: v.rho for k, v in found.by_task.items() if v} == pytest.approx({"a": -1, "b": -1})
    assert found.pooled.n == 12 and found.left_out == 0


def test_weighted_ranks_are_the_ranks_of_the_rows_as_often_as_they_were_drawn():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, 15).astype(float)
    weights = rng.multinomial(15, np.full(15, 1 / 15), size=20).astype(float)
    fast = centred_ranks(values, weights)
    for row, counts in zip(fast, weights.astype(int), strict=True):
        drawn = np.repeat(values, counts)
        slow = (stats.rankdata(drawn) - 0.5) / drawn.size - 0.5
        np.testing.assert_allclose(np.repeat(row, counts), slow, atol=1e-12)


def test_one_task_is_spearman_and_its_bootstrap_draws_rows():
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    found = within_rank_correlation(x, y, ["t"] * 40, seed=3, rounds=200).pooled
    assert found is not None and found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    weights = draws(np.arange(40), np.random.default_rng(3), 200)[1:].astype(int)
    slow = [stats.spearmanr(np.repeat(x, w), np.repeat(y, w)).statistic for w in weights]
    assert list(found.interval) == pytest.approx(list(np.quantile(slow, [0.025, 0.975])))


def test_the_partial_correlation_is_that_of_rank_residuals():
    rng = np.random.default_rng(2)
    length, loss = rng.normal(size=(2, 60))
    x, y = length + 0.3 * rng.normal(size=60), length - loss + 0.3 * rng.normal(size=60)
    found = within_rank_correlation(x, y, ["t"] * 60, {"length": length, "loss": loss}, rounds=20).pooled
    ranks = [stats.rankdata(v) for v in (x, y, length, loss)]
    design = np.column_stack([np.ones(60), *ranks[2:]])
    left = [r - design @ np.linalg.lstsq(design, r)[0] for r in ranks[:2]]
    assert found is not None and found.rho == pytest.approx(np.corrcoef(left)[0, 1])


def planted(rng: np.random.Generator, effect: float, confound: float, n: int = 150) -> tuple[np.ndarray, ...]:
    """Five tasks: attention and score depend on length by task, and on each other by `effect`."""
    task = np.repeat(np.arange(5), n)
    length = rng.normal(size=task.size) + 2 * task
    x = confound * length + 3 * task + rng.normal(size=task.size)
    y = effect * x + confound * length - 12 * task + rng.normal(size=task.size)
    return task, length, x, y


def test_a_planted_effect_is_found_beside_length_and_against_the_order_of_the_tasks():
    task, length, x, y = planted(np.random.default_rng(3), effect=0.5, confound=1.0)
    assert stats.spearmanr(x, y).statistic < 0.05, "over tasks it is hidden"
    found = within_rank_correlation(x, y, task.tolist(), {"length": length}, rounds=300).pooled
    assert found is not None and found.interval.low > 0.2


def test_length_alone_leaves_nothing_once_it_is_taken_out():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(20):
        task, length, x, y = planted(rng, effect=0.0, confound=1.0)
        raw = within_rank_correlation(x, y, task.tolist(), rounds=100).pooled
        assert raw is not None and raw.interval.low > 0.2, "without the covariate it looks like an effect"
        found = within_rank_correlation(x, y, task.tolist(), {"length": length}, rounds=200).pooled
        assert found is not None
        covered += found.interval.low <= 0 <= found.interval.high
    assert covered >= 16


def test_noise_is_noise():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(40):
        found = within_rank_correlation(*rng.normal(size=(2, 200)), ["a", "b"] * 100, rounds=300).pooled
        assert found is not None
        covered += found.interval.low <= 0 <= found.interval.high
    assert covered >= 33


def test_a_task_without_variation_has_no_correlation_and_no_part_in_the_pool():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 30))
    alone = within_rank_correlation(x, y, ["a"] * 30, rounds=100)
    found = within_rank_correlation(
        np.concatenate([x, rng.normal(size=30), [1.0, 2.0]]),
        np.concatenate([y, np.zeros(30), [1.0, 2.0]]),
        ["a"] * 30 + ["never comes back"] * 30 + ["two rows"] * 2,
        rounds=100,
    )
    assert found.by_task["never comes back"] is None and found.by_task["two rows"] is None
    assert found.pooled == found.by_task["a"] == alone.pooled
    nothing = within_rank_correlation(x, np.zeros(30), ["a"] * 30)
    assert nothing.pooled is None


def test_what_a_covariate_explains_wholly_is_no_correlation():
    x, y = np.random.default_rng(7).normal(size=(2, 30))
    assert within_rank_correlation(x, y, ["a"] * 30, {"the same": 2 * x}).pooled is None


def test_lines_of_one_row_are_drawn_together():
    """Three seeds that say the same are one seed: the interval is as wide."""
    x, y = np.random.default_rng(8).normal(size=(2, 50))
    once = within_rank_correlation(x, y, ["t"] * 50, rounds=300).pooled
    rows = list(range(50)) * 3
    thrice = within_rank_correlation(np.tile(x, 3), np.tile(y, 3), ["t"] * 150, rows=rows, rounds=300).pooled
    blind = within_rank_correlation(np.tile(x, 3), np.tile(y, 3), ["t"] * 150, rounds=300).pooled
    assert once and thrice and blind
    assert list(thrice.interval) == pytest.approx(list(once.interval))
    assert blind.interval.high - blind.interval.low < 0.8 * (once.interval.high - once.interval.low)


def test_missing_numbers_are_left_out_and_counted():
    rng = np.random.default_rng(9)
    x, y, z = rng.normal(size=(3, 30))
    x[3], z[5] = np.nan, np.nan
    found = within_rank_correlation(x, y, ["t"] * 30, {"z": z}, rounds=20)
    assert found.left_out == 2 and found.pooled is not None and found.pooled.n == 28


def test_every_row_needs_its_task():
    with pytest.raises(ValueError, match="got 2 tasks for 3 rows"):
        within_rank_correlation(np.zeros(3), np.zeros(3), ["a", "b"])
