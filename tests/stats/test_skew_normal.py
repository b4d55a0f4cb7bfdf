"""The lower tail of a fitted skew-normal, in bits, against what scipy knows and against numbers done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from remanence.stats.skew_normal import SkewNormal, extrapolated_exposure, fit_skew_normal


def test_without_skew_it_is_the_normal_by_hand():
    # P(X <= mean) = 1/2 is 1 bit; one and two standard deviations below are 0.1587 and 0.02275.
    normal = SkewNormal(0.0, 10.0, 2.0)
    bits = -normal.log_cdf(np.array([10.0, 8.0, 6.0])) / math.log(2)
    assert bits == pytest.approx([1.0, 2.6557, 5.4579], abs=1e-3)


@pytest.mark.parametrize("shape", [-6.0, -1.0, 0.0, 0.5, 3.0, 8.0])
def test_log_cdf_is_scipys_where_scipy_has_digits(shape: float):
    own, theirs = SkewNormal(shape, 1.5, 0.7), stats.skewnorm(shape, 1.5, 0.7)
    values = theirs.ppf([1e-4, 0.01, 0.2, 0.5, 0.9, 0.999])
    assert own.log_cdf(values) == pytest.approx(np.log(theirs.cdf(values)), abs=2e-5)


def test_far_below_it_is_the_integral_of_the_density():
    own = SkewNormal(-2.0, 0.0, 1.0)
    at = -20.0
    scaled, _ = integrate.quad(lambda t: math.exp(stats.norm.logpdf(t) - stats.norm.logpdf(at)) * 2, at - 6, at)
    assert float(own.log_cdf(at)) == pytest.approx(math.log(scaled) + stats.norm.logpdf(at), abs=1e-3)
    assert np.isfinite(own.log_cdf(np.array([-1e3, -1e4]))).all()


@pytest.mark.parametrize("shape", [-4.0, 0.0, 4.0])
def test_extrapolation_is_near_the_truth_on_samples_of_known_parameters(shape: float):
    """Scores are log-likelihoods: the canary's is so many bits out in the upper tail of the others'."""
    rng = np.random.default_rng(3)
    truth = stats.skewnorm(shape, 3.0, 0.5)
    losses = truth.rvs(4000, random_state=rng)
    for bits in (3.0, 8.0, 12.0):
        found = float(extrapolated_exposure(-losses, np.array(-truth.ppf(2.0**-bits))))
        assert found == pytest.approx(bits, abs=0.12 * bits)


def test_the_fit_has_the_moments_of_the_values_and_agrees_with_maximum_likelihood():
    values = stats.skewnorm.rvs(3.0, 2.0, 0.8, 4000, random_state=np.random.default_rng(0))
    fitted = fit_skew_normal(values)
    mean, variance, skew = stats.skewnorm.stats(*fitted, moments="mvs")
    assert (float(mean), float(variance)) == pytest.approx((values.mean(), values.var(ddof=1)))
    assert float(skew) == pytest.approx(stats.skew(values), abs=1e-6)
    likely = stats.skewnorm.fit(values)
    assert np.array(fitted) == pytest.approx(np.array(likely), rel=0.15)


def test_what_is_more_skewed_than_any_skew_normal_is_still_fitted():
    values = np.concatenate([np.linspace(0, 1, 60), [40.0]])
    assert math.isfinite(fit_skew_normal(values).shape)
    assert np.isfinite(extrapolated_exposure(-values, np.array([0.5, 2.0]))).all()


def test_too_few_or_equal_values_are_refused():
    for values in ([1.0, 2.0], [1.0] * 30, [np.nan] * 30):
        with pytest.raises(ValueError, match="skew-normal"):
            fit_skew_normal(np.array(values))
