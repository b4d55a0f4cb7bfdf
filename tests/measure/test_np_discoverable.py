"""(n,p)-discoverable extraction: the arithmetic by hand, and inverted for any probability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hand_made import token_row
from hypothesis import assume, example, given
from hypothesis import strategies as st

from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.measure.extraction.np_discoverable import NPDiscoverable, min_queries, prob_extracted, suffix_logprobs
from remanence.models.parrot import Parrot

PLAIN = SamplingScheme()
LOG_P = st.floats(-29.9, -1e-6)
SURENESS = st.floats(1e-4, 0.9999)


def drawn(logprob: list[float], **options: object) -> TokenRow:
    columns = {PLAIN.column: logprob, "gap": [0.0 if math.isfinite(v) else v for v in logprob]}
    return token_row(columns, **options)  # pyright: ignore[reportArgumentType]


def test_the_probability_of_a_window_is_the_product_of_its_tokens():
    # Tokens at 1/2, 1/4, 1/2. Two of them: from 0 it is 1/8, from 1 it is 1/8.
    row = drawn([math.log(1 / 2), math.log(1 / 4), math.log(1 / 2)])
    found = NPDiscoverable(PLAIN, 0.5, (0, 1), new_tokens=2).score(row)
    assert {n: math.exp(v) for n, v in found.evidence["log_p"].items()} == pytest.approx({0: 1 / 8, 1: 1 / 8})


def test_the_score_is_the_best_prefix_length_of_the_grid():
    # 1/2 * 1/8 from 0 against 1/8 * 1 from 1: the second. For probability 1/2: (7/8)^5 = 0.513, (7/8)^6 = 0.449: six.
    row = drawn([math.log(1 / 2), math.log(1 / 8), 0.0])
    found = NPDiscoverable(PLAIN, 0.5, (0, 1), new_tokens=2).score(row)
    assert math.exp(found.value) == pytest.approx(1 / 8) and found.evidence["queries"] == 6


def test_at_least_one_hit_in_n_draws():
    # p_z = 1/4, two draws: 1 - (3/4)^2 = 7/16.
    assert prob_extracted(math.log(1 / 4), 2) == pytest.approx(7 / 16)
    # Not "the share of the draws that hit": that would be 1/4 for any n.


def test_queries_by_hand():
    # p_z = 1/2: one draw gives 1/2, two give 3/4, three give 7/8.
    assert min_queries(math.log(1 / 2), 0.5) == 1
    assert min_queries(math.log(1 / 2), 0.75) == 2
    assert min_queries(math.log(1 / 2), 0.76) == 3


def test_the_example_of_the_paper():
    # p_z = 16.2 %, the greedy answer being another: 1/0.162 = 6.2 draws in expectation, 4 for one chance in two.
    assert min_queries(math.log(0.162), 0.5) == 4
    assert prob_extracted(math.log(0.162), 4) == pytest.approx(1 - 0.838**4)


def test_whole_quotients_are_not_pushed_up_by_rounding():
    # 1 - (1/2)^29 takes exactly 29 draws; log1p gives 29.000000000000004 before the ceiling.
    assert min_queries(math.log(0.5), 1 - 2.0**-29) == 29


@given(LOG_P, SURENESS)
@example(math.log(0.5), 0.75)
@example(math.log(0.5), 1 - 2.0**-13)
def test_queries_invert_the_probability(log_p: float, p: float):
    n = float(min_queries(log_p, p))
    assume(n < 1e12)  # beyond, one draw more does not move the probability by a float64
    assert n == int(n) >= 1
    assert prob_extracted(log_p, n) >= p - 1e-15
    assert prob_extracted(log_p, n - 1) < p or prob_extracted(log_p, n - 1) == pytest.approx(p, abs=1e-16)


@given(st.floats(-1e3, 0), st.floats(-1e3, 0), SURENESS, st.integers(1, 10**6))
def test_likelier_rows_come_back_sooner(one: float, other: float, p: float, n: int):
    low, high = min(one, other), max(one, other)
    assert min_queries(high, p) <= min_queries(low, p)
    assert prob_extracted(high, n) >= prob_extracted(low, n)
    assert prob_extracted(low, n + 1) >= prob_extracted(low, n)


@given(LOG_P, st.floats(1e-4, 0.99), st.floats(1e-4, 0.99))
def test_more_certainty_costs_more_draws(log_p: float, one: float, other: float):
    assert min_queries(log_p, min(one, other)) <= min_queries(log_p, max(one, other))


def test_a_certain_row_comes_back_at_once_and_an_impossible_one_never():
    assert min_queries(0.0, 0.999) == 1 and prob_extracted(0.0, 1) == 1 and prob_extracted(0.0, 0) == 0
    assert min_queries(-math.inf, 0.001) == math.inf and prob_extracted(-math.inf, 10**12) == 0
    assert min_queries(-1e-300, 0.999) == 1 and prob_extracted(-1e-300, 0) == 0


def test_below_minus_thirty_the_count_goes_on_smoothly():
    # -log(1/2) e^30 = 7.407e12 on either side of the seam, and far beyond float64's 1 - p_z = 1.
    near, far = min_queries(-30 + 1e-9, 0.5), min_queries(-30 - 1e-9, 0.5)
    assert near == pytest.approx(math.log(2) * math.exp(30), rel=1e-4) and far == pytest.approx(near, rel=1e-3)
    assert min_queries(-400.0, 0.5) == pytest.approx(math.log(2) * math.exp(400))
    assert min_queries(-2000.0, 0.5) == math.inf  # more draws than a float64 can count
    assert prob_extracted(-400.0, 1e173) == pytest.approx(-math.expm1(-1e173 * math.exp(-400)))


def test_a_product_of_fifty_probabilities_does_not_underflow():
    # 50 tokens at e^-40: log p_z = -2000, where float32 and even float64 would round the product to 0.
    assert suffix_logprobs(np.full(50, -40, np.float32), 50).tolist() == [-2000]


def test_a_token_outside_the_scheme_makes_its_windows_impossible_and_no_others():
    # -inf at the third token. Pairs from 0: 1/2 * 1/2; from 1 and 2: impossible; never NaN from inf - inf.
    row = drawn([math.log(0.5), math.log(0.5), -math.inf, 0.0])
    found = NPDiscoverable(PLAIN, 0.5, (0, 1, 2), new_tokens=2).score(row)
    assert found.evidence["log_p"] == {0: pytest.approx(math.log(0.25)), 1: -math.inf, 2: -math.inf}


def test_a_row_that_can_never_be_drawn_scores_minus_infinity():
    found = NPDiscoverable(PLAIN, 0.5, (0,), new_tokens=2).score(drawn([-math.inf, -math.inf]))
    assert found.value == -math.inf and found.evidence["queries"] == math.inf


def test_windows_over_tokens_without_loss_are_not_drawn():
    row = drawn([math.log(0.5)] * 5, supervised=[1, 1, 0, 1, 1])
    assert list(NPDiscoverable(PLAIN, 0.5, (0, 1, 2, 3), 2).score(row).evidence["log_p"]) == [0, 3]


def test_parrot_says_what_it_was_told_at_the_first_draw_and_nothing_else_ever():
    told, other = Record("told", text="the cat sat on the mat"), Record("other", text="the dog ran off")
    for scheme in (PLAIN, SamplingScheme(0.5, 10, 0.9), SamplingScheme(top_p=0.8)):
        seen, unseen = NPDiscoverable(scheme, 0.5, (0, 4), new_tokens=6)(Parrot((told,)), [told, other])
        assert seen.score == pytest.approx(0, abs=1e-6) and seen.evidence["queries"] == 1
        assert unseen.score is not None and unseen.score <= -6 * 30 + 1  # six bytes, each at e^-30 or less
    assert unseen.score == -math.inf  # outside the nucleus


def test_nan_and_short_rows_are_reasons():
    measure = NPDiscoverable(PLAIN, 0.5, (0,), new_tokens=2)
    broken = token_row({PLAIN.column: [math.nan, -1.0], "gap": [math.nan, 1.0]})
    assert measure.find("r", broken).reason == "the model returned NaN for 1 of 2 tokens"
    assert measure.find("r", drawn([-1.0])).reason == "fewer than 2 tokens in a row carry loss"


def test_the_name_tells_the_scheme():
    assert NPDiscoverable(SamplingScheme(0.8, 40, 0.9)).name == "np_discoverable[T=0.8,k=40,p=0.9]"
