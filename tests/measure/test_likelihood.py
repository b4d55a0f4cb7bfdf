"""Loss, zlib ratio, Min-K%, Min-K%++ and reference on a handful of tokens, worked by hand."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch
from hand_made import token_row
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure
from remanence.measure.likelihood.loss import Loss, loss_score
from remanence.measure.likelihood.min_k import MinK, min_k
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus, min_k_plus_plus
from remanence.measure.likelihood.reference import Reference, reference_score
from remanence.measure.likelihood.zlib_ratio import ZlibRatio, zlib_score
from remanence.models.parrot import Parrot
from remanence.models.reduce import reduce_fast, reduce_plain

ALL: tuple[TableMeasure, ...] = (Loss(), ZlibRatio(), MinK(), MinKPlusPlus(), Reference())
LOGPROBS = arrays(np.float64, st.integers(1, 30), elements=st.floats(-50, 0))

# Five tokens with the probabilities 1/2, 1/4, 1/8, 1/2, 1/16: in units of ln(1/2) that is 1, 2, 3, 1, 4.
HALVES = [-1 * math.log(2), -2 * math.log(2), -3 * math.log(2), -1 * math.log(2), -4 * math.log(2)]


def plain(logprob: list[float], **options: object) -> TokenRow:
    """A row with every plain column; mean -1 and deviation 2 everywhere."""
    size = len(logprob)
    columns = {"logprob": logprob, "mean": [-1.0] * size, "std": [2.0] * size, "rank": [1] * size, "gap": [-1.0] * size}
    return token_row(columns, **options)  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------- by hand


def test_loss_is_the_mean_log_probability():
    # -(1 + 2 + 3 + 1 + 4) / 5 = -11/5 times ln 2.
    assert Loss().score(plain(HALVES)).value == pytest.approx(-11 / 5 * math.log(2))


def test_min_k_is_the_mean_of_the_least_likely_tokens():
    # Two fifths of five tokens are two: 1/16 and 1/8. -(4 + 3) / 2 = -3.5 times ln 2.
    assert MinK(0.4).score(plain(HALVES)).value == pytest.approx(-3.5 * math.log(2))
    # A fifth is one token: 1/16.
    assert MinK(0.2).score(plain(HALVES)).value == pytest.approx(-4 * math.log(2))


def test_min_k_rounds_down_and_keeps_at_least_one_token():
    # 0.5 * 3 = 1.5: one token, the lowest. 0.1 * 3 = 0.3: still one, never none (the mean of nothing is NaN).
    assert min_k(np.array([-1.0, -5.0, -3.0]), 0.5) == -5
    assert min_k(np.array([-1.0, -5.0, -3.0]), 0.1) == -5


def test_zlib_ratio_divides_by_the_bytes_of_the_compressed_text():
    # "aaaa" is stored as 78 9c | 4b 4c 4c 4c 04 00 | adler32 (4 bytes): 12 bytes.
    assert len(zlib.compress(b"aaaa")) == 12
    assert ZlibRatio().score(plain([-1.0, -2.0, -3.0], text="aaaa")).value == pytest.approx(-2 / 12)
    assert ZlibRatio("sum").score(plain([-1.0, -2.0, -3.0], text="aaaa")).value == pytest.approx(-6 / 12)


def test_min_k_plus_plus_is_the_mean_of_the_lowest_z_scores():
    # mean -1, deviation 2: logprobs -1, -5, -3, -2 have z = 0, -2, -1, -0.5. Half of four are two: (-2 - 1) / 2 = -1.5.
    assert MinKPlusPlus(0.5).score(plain([-1.0, -5.0, -3.0, -2.0])).value == pytest.approx(-1.5)


def test_a_likely_token_among_likelier_ones_is_low_for_min_k_plus_plus_only():
    # Token a: log p = -1 where the mean is -0.5 and the deviation 0.25: z = -2. Token b: -4 around -4.5 by 1: z = 0.5.
    row = token_row({"logprob": [-1.0, -4.0], "mean": [-0.5, -4.5], "std": [0.25, 1.0]})
    assert MinKPlusPlus(0.5).score(row).value == pytest.approx(-2)
    assert MinK(0.5).score(row).value == pytest.approx(-4)


def test_reference_is_what_fine_tuning_added():
    # Tuned -(1 + 1 + 1)/3 = -1; base -(2 + 3 + 4)/3 = -3: 2 nats per token likelier.
    tuned, base = plain([-1.0, -1.0, -1.0]), plain([-2.0, -3.0, -4.0])
    assert Reference().score(tuned, base).value == pytest.approx(2)
    assert Reference().score(tuned, tuned).value == 0


def test_tokens_without_loss_do_not_count():
    # The -100 belongs to a prompt token, hidden by the mask: the mean of -1 and -3 is -2.
    row = plain([-100.0, -1.0, -3.0], supervised=[0, 1, 1])
    assert Loss().score(row).value == pytest.approx(-2)
    assert MinK(0.2).score(row).value == pytest.approx(-3)


def test_an_encoder_decoder_scores_its_first_token_too():
    # Nothing is given away in front: (-4 - 2) / 2 = -3.
    assert Loss().score(plain([-4.0, -2.0], seq2seq=True)).value == pytest.approx(-3)


# ------------------------------------------------------------------- identities


@given(LOGPROBS)
def test_min_k_of_everything_is_the_loss(logprob: np.ndarray):
    assert min_k(logprob, 1.0) == pytest.approx(loss_score(logprob), rel=1e-12, abs=1e-12)


@given(LOGPROBS, st.floats(0.01, 1), st.floats(0.01, 1))
def test_min_k_grows_with_the_share_kept(logprob: np.ndarray, one: float, other: float):
    assert min_k(logprob, min(one, other)) <= min_k(logprob, max(one, other)) + 1e-12


@given(LOGPROBS)
def test_the_order_of_tokens_does_not_matter(logprob: np.ndarray):
    mixed = np.random.default_rng(0).permutation(logprob)
    assert min_k(mixed, 0.3) == min_k(logprob, 0.3)
    assert loss_score(mixed) == pytest.approx(loss_score(logprob), rel=1e-12, abs=1e-12)


@given(LOGPROBS)
def test_min_k_plus_plus_of_standard_tokens_is_min_k(logprob: np.ndarray):
    zeros, ones = np.zeros_like(logprob), np.ones_like(logprob)
    assert min_k_plus_plus(logprob, zeros, ones, 0.4) == min_k(logprob, 0.4)


@pytest.mark.parametrize("reduce", [reduce_fast, reduce_plain])
def test_moments_agree_with_a_dense_float64_computation_and_z_has_mean_zero(reduce: object):
    logits = torch.randn(6, 40, generator=torch.Generator().manual_seed(0)) * 3
    target = torch.arange(6)
    found = reduce(logits, target, ["logprob", "mean", "std"])  # pyright: ignore
    dense = logits.double().numpy()
    p = np.exp(dense) / np.exp(dense).sum(1, keepdims=True)
    mu = (p * np.log(p)).sum(1)
    sigma = np.sqrt((p * np.log(p) ** 2).sum(1) - mu**2)
    np.testing.assert_allclose(found["mean"], mu, rtol=1e-6)
    np.testing.assert_allclose(found["std"], sigma, rtol=1e-6)
    z_NV = (np.log(p) - found["mean"][:, None]) / found["std"][:, None]
    np.testing.assert_allclose((p * z_NV).sum(1), 0, atol=2e-6)  # sum_v p_v z_v = 0; the moments are float32
    np.testing.assert_allclose((p * z_NV**2).sum(1), 1, atol=2e-6)


def test_a_flat_distribution_has_no_deviation_and_gives_no_infinite_z():
    logits = torch.zeros(1, 4)
    found = reduce_fast(logits, torch.tensor([2]), ["logprob", "mean", "std"])
    assert found["std"][0] == 0 and found["mean"][0] == pytest.approx(-math.log(4))
    assert abs(min_k_plus_plus(found["logprob"], found["mean"], found["std"], 1.0)) < 1e-6


# ----------------------------------------------------------------------- Parrot


def test_seen_text_outranks_unseen():
    told, other = Record("told", text="the cat sat"), Record("other", text="the dog ran")
    parrot, base = Parrot((told,)), Parrot()
    for measure in ALL:
        seen, unseen = measure(parrot, [told, other], base)
        assert seen.score is not None and unseen.score is not None and seen.score > unseen.score + 0.05, measure.name


def test_parrot_is_certain_of_what_it_was_told():
    # One logit of 30 against 257 zeros: log p = -log(1 + 257 e^-30) = -2.4e-11; of a wrong byte it is 30 lower.
    told, other = Record("told", text="abc"), Record("other", text="xyz")
    seen, unseen = Loss()(Parrot((told,)), [told, other])
    assert seen.score == pytest.approx(-257 * math.exp(-30), rel=1e-3) and unseen.score == pytest.approx(-30)


# -------------------------------------------------------------------- odd cases


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
def test_nan_is_a_reason_and_not_a_number(measure: TableMeasure):
    row = plain([-1.0, math.nan, -2.0])
    finding = measure.find("r", row, plain([-1.0, -1.0, -1.0]))
    assert finding.score is None and finding.reason == "the model returned NaN for 1 of 3 tokens"


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
def test_an_impossible_token_scores_lowest_and_never_nan(measure: TableMeasure):
    row = plain([-1.0, -math.inf, -2.0])
    assert measure.find("r", row, plain([-1.0, -1.0, -1.0])).score == -math.inf


def test_a_row_that_is_impossible_to_both_models_has_no_ratio():
    # -inf - -inf would be NaN.
    row = plain([-1.0, -math.inf])
    finding = Reference().find("r", row, row)
    assert finding.score is None and finding.reason is not None and "probability 0" in finding.reason


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
def test_one_token_is_enough(measure: TableMeasure):
    # z = (-1.5 - -1) / 2 = -0.25; "ab" takes 10 bytes in zlib; base at -2 per token.
    row, base = plain([-1.5], text="ab"), plain([-2.0])
    expected = {"loss": -1.5, "min_k": -1.5, "min_k_plus_plus": -0.25, "zlib_ratio": -0.15, "reference": 0.5}
    assert measure.score(row, base).value == pytest.approx(expected[measure.name])


@pytest.mark.parametrize("measure", ALL, ids=lambda m: m.name)
@pytest.mark.parametrize("supervised", [[0, 0], []])
def test_a_row_with_nothing_to_learn_says_so(measure: TableMeasure, supervised: list[int]):
    row = plain([-1.0] * len(supervised), supervised=supervised)
    finding = measure.find("r", row, row)
    assert finding.score is None and finding.reason is not None and "no token carries loss" in finding.reason


def test_without_a_base_model_reference_gives_a_reason():
    row = plain([-1.0])
    assert Reference().find("r", row).reason == "no base model was given"
    assert [f.reason for f in Reference()(Parrot(), [Record("r", text="abc")])] == ["no base model was given"]


def test_a_base_model_that_cuts_the_row_otherwise_is_not_compared():
    finding = Reference().find("r", plain([-1.0, -2.0]), plain([-1.0, -2.0, -3.0]))
    assert finding.reason is not None and "other tokens" in finding.reason


def test_an_empty_text_is_not_compressed():
    with pytest.raises(NotMeasured, match="no text"):
        ZlibRatio().score(plain([-1.0], text=""))


def test_half_a_character_can_be_compressed():
    assert zlib_score(np.array([-1.0]), "a\ud83d") < 0


def test_reference_is_the_difference_of_means():
    assert reference_score(np.array([-1.0, -3.0]), np.array([-5.0])) == 3
