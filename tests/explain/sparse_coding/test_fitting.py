"""Samples have the moments of the model, and both fits find the map that the closed form names."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.explain.sparse_coding.fitting import draw, gradient_descent, heldout_errors, reduced_rank
from remanence.explain.sparse_coding.sparse_coding import SparseCoding, linear_holds, needs
from remanence.explain.sparse_coding.statement import best_map, input_covariance

M = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0]
LAM = np.array([2.0, 1.0, 0.5])
A_S = np.array([[1.0, 0.5], [0.0, 1.0], [0.3, 0.3]])


def test_samples_have_the_moments_of_the_model():
    sample = draw(M, LAM, 0.2, A_S, [0, 2], 200_000, 0.25, np.random.default_rng(1))
    assert np.cov(sample.x.T) == pytest.approx(input_covariance(M, LAM, 0.2), abs=0.03)
    assert sample.y.shape == (200_000, 3)
    # Without noise, a quarter of the values of each feature is not 0.
    quiet = draw(M, LAM, 0.0, np.eye(3), [0, 1, 2], 20_000, 0.25, np.random.default_rng(1))
    assert (quiet.y != 0).mean() == pytest.approx(0.25, abs=0.01)
    assert quiet.x @ M == pytest.approx(quiet.y)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_regression_and_descent_find_the_closed_form(rank: int, noise: float):
    rng = np.random.default_rng(2)
    sample = draw(M, LAM, noise, A_S, [0, 2], 50_000, 0.5, rng)
    closed = best_map(M, LAM, noise, A_S, [0, 2], rank)
    assert reduced_rank(sample, rank) == pytest.approx(closed, abs=0.03)
    assert gradient_descent(sample, rank, rng) == pytest.approx(closed, abs=0.03)


def test_regression_is_the_least_squares_of_its_rank():
    sample = draw(M, LAM, 0.2, A_S, [0, 2], 300, 0.5, np.random.default_rng(3))
    best = ((sample.y - sample.x @ reduced_rank(sample, 1).T) ** 2).sum()
    rng = np.random.default_rng(4)
    for _ in range(100):
        u, v = reduced_rank(sample, 1) @ rng.normal(size=6), rng.normal(size=6) * 0.02
        u, v = u / np.linalg.norm(u), v + u @ reduced_rank(sample, 1) / np.linalg.norm(u)
        assert ((sample.y - sample.x @ np.outer(u, v).T) ** 2).sum() >= best - 1e-9


def test_what_a_map_keeps_comes_back_on_new_rows():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2000, 2)) * [2.0, 1.0]
    errors = heldout_errors(x[:1000], x[1000:], np.array([[1.0, 0.0]]))
    assert errors.shape == (1000,)
    assert errors.mean() == pytest.approx((x[1000:, 1] ** 2).mean(), rel=0.01)  # only the second coordinate is lost
    assert heldout_errors(x[:1000], x[1000:], np.eye(2)).max() < 1e-20


def test_the_system_finds_more_kept_when_more_is_needed():
    found = SparseCoding(samples=4000)(0)
    assert [f.record_id for f in found] == [f"needs {s} of 8" for s in (1, 2, 4, 8)]
    shares = [f.score for f in found if f.score is not None]
    assert len(shares) == 4 and np.all(np.diff(shares) > 0)
    # All needed: only the noise in the 24 - 8 other directions is lost, 0.1 each, of 10 + 2.4 in all.
    assert shares[-1] == pytest.approx(1 - 1.6 / 12.4)
    assert linear_holds(found)
    assert SparseCoding(samples=4000)(0) == found


def test_the_judge_of_the_statement_can_say_no():
    found = SparseCoding(samples=4000)(0)
    wrong = [{**f.evidence, "descent": f.evidence["closed_form"] + 1} for f in found]
    planted = [type(f)(f.record_id, f.measure, f.score, e) for f, e in zip(found, wrong, strict=True)]
    assert not linear_holds(planted)  # far from the closed form
    assert not linear_holds([found[0], found[0]])  # does not fall


def test_tasks_double_what_they_need():
    assert needs(8) == [1, 2, 4, 8] and needs(6) == [1, 2, 4, 6] and needs(1) == [1]
