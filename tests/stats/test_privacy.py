"""Privacy accounting: by hand where a hand can, by integration, by published figures, and against what is observed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from remanence.stats.privacy import ORDERS, binomial_moment, calibrate_sigma, integral_moment, rdp, rdp_epsilon


def test_one_step_by_hand():
    # every row in every step: a / (2 sigma^2) = 2 / 8
    assert rdp(1, 2, [2]).tolist() == [0.25]
    # q = 1/2, sigma = 1, a = 2: 1/4 + 2/4 + 1/4 e = 1 + (e - 1) / 4
    assert rdp(0.5, 1, [2])[0] == pytest.approx(math.log(1 + (math.e - 1) / 4))
    # eps = T eps_a - (log delta + log a) / (a - 1) + log((a - 1) / a), at a = 2: 10/4 + log 1000 - log 2 - log 2
    assert rdp_epsilon(1, 2, 10, 1e-3, orders=[2]) == pytest.approx(2.5 + math.log(250))


@pytest.mark.parametrize(
    ("q", "sigma", "steps", "epsilon"), [(0.01, 1.0, 1000, 2.101), (256 / 60000, 1.1, 14063, 2.597)]
)
def test_the_figures_of_the_reference_accountant(q, sigma, steps, epsilon):
    assert rdp_epsilon(q, sigma, steps, 1e-5) == pytest.approx(epsilon, abs=6e-4)


def test_noise_for_a_target():
    for target, sigma in ((8, 0.616), (1, 1.523)):
        assert target - 0.0125 <= rdp_epsilon(0.01, sigma, 1000, 1e-5) <= target, "opacus' own, of tolerance 0.01"
        found = calibrate_sigma(target, 1e-5, 0.01, 1000)
        assert found <= sigma, "no more than it takes"
        assert target - 0.01 <= rdp_epsilon(0.01, found, 1000, 1e-5) <= target, "never above the target"
    assert calibrate_sigma(math.inf, 1e-5, 0.01, 1000) == 0
    with pytest.raises(ValueError, match="above 0"):
        calibrate_sigma(0, 1e-5, 0.01, 10)


@pytest.mark.parametrize(("q", "sigma", "a"), [(0.1, 1.5, 5), (0.01, 0.5, 2), (0.3, 4.0, 30), (0.5, 1.0, 63)])
def test_the_sum_is_the_integral(q, sigma, a):
    def density(z: float) -> float:
        ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * z - 1) / (2 * sigma**2))
        return math.exp(a * ratio - z * z / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi)) - size)

    size = binomial_moment(q, sigma, a)
    assert binomial_moment(q, sigma, a) == pytest.approx(integral_moment(q, sigma, a), rel=1e-9, abs=1e-12)
    slow, _ = integrate.quad(density, -20 * sigma, a + 20 * sigma, points=[0, a], epsabs=0, epsrel=1e-10, limit=500)
    assert slow == pytest.approx(1, rel=1e-8), "density over its own integral"


def test_a_known_value():
    assert rdp(0.1, 1.5, [5])[0] == pytest.approx(0.0169831, abs=1e-7)


def test_more_noise_fewer_rows_and_fewer_steps_give_away_less():
    base = rdp_epsilon(0.05, 1.0, 200, 1e-4)
    assert rdp_epsilon(0.05, 1.2, 200, 1e-4) < base
    assert rdp_epsilon(0.04, 1.0, 200, 1e-4) < base
    assert rdp_epsilon(0.05, 1.0, 150, 1e-4) < base
    assert rdp_epsilon(0.05, 1.0, 200, 1e-3) < base
    assert rdp_epsilon(0.05, 0, 200, 1e-4) == math.inf
    assert rdp_epsilon(0.05, 1.0, 0, 1e-4) == rdp_epsilon(0, 1.0, 9, 1e-4) == 0
    with pytest.raises(ValueError, match="delta"):
        rdp_epsilon(0.1, 1, 1, 0)


def test_it_is_an_upper_bound_on_what_a_test_of_one_row_sees():
    """Every row in every step: the best test between N(0, sigma^2/T) and N(1, sigma^2/T) is known exactly."""
    sigma, steps, delta = 4.0, 10, 1e-3
    mean = math.sqrt(steps) / sigma
    epsilon = rdp_epsilon(1, sigma, steps, delta)
    exact = stats.norm.cdf(mean / 2 - epsilon / mean) - math.exp(epsilon) * stats.norm.cdf(-mean / 2 - epsilon / mean)
    assert exact <= delta, "the true delta at our epsilon"
    closer = stats.norm.cdf(mean / 2 - 0.8 * epsilon / mean) - math.exp(0.8 * epsilon) * stats.norm.cdf(
        -mean / 2 - 0.8 * epsilon / mean
    )
    assert closer > delta, "and not by far"


@pytest.mark.filterwarnings("ignore")
def test_opacus_counts_the_same():
    pytest.importorskip("opacus", reason="opacus is not installed: pip install 'remanence[dp]'")
    from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

    for q, sigma, steps in ((0.02, 0.8, 500), (0.2, 3.0, 50), (0.001, 0.4, 1000)):
        theirs = compute_rdp(q=q, noise_multiplier=sigma, steps=steps, orders=ORDERS)
        np.testing.assert_allclose(steps * rdp(q, sigma), theirs, rtol=1e-6, atol=1e-9)
        assert rdp_epsilon(q, sigma, steps, 1e-5) == pytest.approx(
            get_privacy_spent(orders=ORDERS, rdp=theirs, delta=1e-5)[0], rel=1e-6
        )
