"""The token table from logits: four logits by hand, then the fast path against its slow twin and against others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import rankdata
from torch import Tensor
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from remanence.core.scheme import SamplingScheme
from remanence.models.reduce import CHUNK_BYTES, Columns, chunk_rows, reduce_fast, reduce_logits, reduce_plain

PLAIN = ["logprob", "rank", "gap", "mean", "std"]
SCHEMES = [
    SamplingScheme(t, k, p)
    for t, k, p in itertools.product((0.5, 1.0, 1.3), (None, 1, 3, 40, 10**6), (None, 1e-6, 0.3, 0.9, 0.999, 1.0))
]
EVERYTHING = [*PLAIN, *(s.column for s in SCHEMES)]
BOTH = pytest.mark.parametrize("reduce", [reduce_fast, reduce_plain])

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
"""Fast against plain: the fast path bins the logits in float32 and takes exponentials in float64."""


def table(logits: list[float], columns: list[str], reduce=reduce_fast) -> Columns:  # pyright: ignore
    """The columns for every token of a vocabulary, given one row of logits."""
    size = len(logits)
    return reduce(torch.tensor([logits] * size), torch.arange(size), columns)


def agree(logits_NV: Tensor, target_N: Tensor, columns: list[str]) -> None:
    fast, plain = reduce_fast(logits_NV, target_N, columns), reduce_plain(logits_NV, target_N, columns)
    assert list(fast) == list(plain) == columns
    for column in columns:
        assert fast[column].dtype == plain[column].dtype == (np.int32 if column == "rank" else np.float32)
        if column == "rank":
            np.testing.assert_array_equal(fast[column], plain[column])
        else:
            np.testing.assert_allclose(fast[column], plain[column], **TOLERANCE, err_msg=column)


# --------------------------------------------------------------------- by hand

# Probabilities 8/16, 4/16, 3/16, 1/16.
FOUR = [math.log(8), math.log(4), math.log(3), math.log(1)]


@BOTH
def test_plain_columns_by_hand(reduce):  # pyright: ignore
    found = table(FOUR, PLAIN, reduce)
    np.testing.assert_allclose(np.exp(found["logprob"]), [8 / 16, 4 / 16, 3 / 16, 1 / 16], rtol=1e-6)
    assert found["rank"].tolist() == [0, 1, 2, 3]
    # The best token leads the second by log 8 - log 4; every other one trails the best.
    np.testing.assert_allclose(found["gap"], np.log([2, 4 / 8, 3 / 8, 1 / 8]), rtol=1e-6)
    mean = (8 * math.log(8 / 16) + 4 * math.log(4 / 16) + 3 * math.log(3 / 16) + 1 * math.log(1 / 16)) / 16
    square = (8 * math.log(8 / 16) ** 2 + 4 * math.log(4 / 16) ** 2 + 3 * math.log(3 / 16) ** 2) / 16
    square += math.log(1 / 16) ** 2 / 16
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(found["std"], math.sqrt(square - mean**2), rtol=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("scheme", "kept"),
    [
        (SamplingScheme(), [8, 4, 3, 1]),
        (SamplingScheme(top_k=2), [8, 4, 0, 0]),
        (SamplingScheme(top_k=9), [8, 4, 3, 1]),
        (SamplingScheme(top_p=0.49), [8, 0, 0, 0]),  # 8/16 reaches 0.49 by itself
        (SamplingScheme(top_p=0.51), [8, 4, 0, 0]),  # 8/16 does not; 4/16 crosses and stays
        (SamplingScheme(top_p=0.74), [8, 4, 0, 0]),
        (SamplingScheme(top_p=0.01), [8, 0, 0, 0]),  # at least one token
        (SamplingScheme(top_p=1.0), [8, 4, 3, 1]),
        (SamplingScheme(0.5), [64, 16, 9, 1]),  # T = 1/2 squares the weights
        (SamplingScheme(0.5, 3, 0.75), [64, 16, 0, 0]),  # of 64, 16, 9: 64/89 = 0.72 falls short, 16 crosses
        (SamplingScheme(1.0, 3, 0.6), [8, 4, 0, 0]),  # of 8, 4, 3: 8/15 = 0.53 falls short, 4 crosses
    ],
    ids=lambda v: v.name if isinstance(v, SamplingScheme) else "",
)
def test_schemes_by_hand(reduce, scheme: SamplingScheme, kept: list[int]):  # pyright: ignore
    found = np.exp(table(FOUR, [scheme.column], reduce)[scheme.column])
    np.testing.assert_allclose(found, np.array(kept) / sum(kept), rtol=1e-6)


@BOTH
def test_top_k_keeps_every_token_that_ties_with_the_last(reduce):  # pyright: ignore
    # Top-1 of 2, 2, 1: both twos stay.
    found = table([2.0, 2.0, 1.0], ["logprob[T=1,k=1]"], reduce)["logprob[T=1,k=1]"]
    np.testing.assert_allclose(np.exp(found), [0.5, 0.5, 0])


@BOTH
def test_ties_go_to_the_lower_id(reduce):  # pyright: ignore
    # Four equal tokens: greedy decoding says the first; top-p 0.5 keeps two of them, here the first two.
    found = table([0.0] * 4, ["rank", "gap", "logprob[T=1,p=0.5]"], reduce)
    assert found["rank"].tolist() == [0, 1, 2, 3] and found["gap"].tolist() == [0, 0, 0, 0]
    assert int(torch.zeros(4).argmax()) == 0
    np.testing.assert_allclose(np.exp(found["logprob[T=1,p=0.5]"]), [0.5, 0.5, 0, 0])


@BOTH
def test_top_p_one_drops_nothing_however_unlikely(reduce):  # pyright: ignore
    # e^-50 is lost beside 1 in a float64 sum, yet it can be drawn.
    found = table([50.0, 0.0], ["logprob[T=1,p=1]"], reduce)["logprob[T=1,p=1]"]
    np.testing.assert_allclose(found, [0, -50], atol=1e-6)


@BOTH
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_break_their_own_position_only(reduce, bad: float):  # pyright: ignore
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, bad, 3.0], [1.0, 2.0, 3.0]])
    for target in range(3):
        found = reduce(logits, torch.full((3,), target), EVERYTHING)
        for column, values in found.items():
            assert (values[1] == -1) if column == "rank" else math.isnan(values[1]), column
            assert values[0] == values[2] and not math.isnan(values[0]), column


@BOTH
def test_a_position_where_nothing_is_possible_is_broken(reduce):  # pyright: ignore
    found = reduce(torch.full((1, 4), -math.inf), torch.tensor([1]), EVERYTHING)
    assert all(v[0] == -1 if c == "rank" else math.isnan(v[0]) for c, v in found.items())


@BOTH
def test_a_forbidden_token_is_impossible_and_the_others_share_its_place(reduce):  # pyright: ignore
    found = table([0.0, -math.inf, 0.0], EVERYTHING, reduce)
    np.testing.assert_allclose(np.exp(found["logprob"]), [0.5, 0, 0.5], rtol=1e-6)
    assert found["gap"].tolist() == [0, -math.inf, 0] and found["rank"].tolist() == [0, 2, 1]
    np.testing.assert_allclose(found["mean"], -math.log(2), rtol=1e-6)  # of the two that can be said
    assert not any(np.isnan(v).any() for v in found.values())


# ------------------------------------------------------------ fast against plain


def shapes_of_logits(rows: int, size: int, seed: int = 0) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(seed)
    random = torch.randn(rows, size, generator=make) * 3
    peaked = random.clone()
    peaked[torch.arange(rows), torch.randint(size, (rows,), generator=make)] += 40
    masked = random.clone()
    masked[torch.rand(rows, size, generator=make) < 0.4] = -math.inf
    masked[:, 0] = 1.0
    return {
        "random": random,
        "peaked": peaked,
        "nearly flat": random * 1e-4,
        "tied": (random * 2).round() / 2,
        "half precision": random.bfloat16().float(),
        "masked": masked,
        "one far below": torch.cat([random[:, :-1], torch.full((rows, 1), -1e4)], 1),
        "huge": random * 1e30,
    }


@pytest.mark.parametrize("kind", list(shapes_of_logits(1, 2)))
@pytest.mark.parametrize("size", [2, 5, 41, 700])
def test_fast_agrees_with_plain(kind: str, size: int):
    logits = shapes_of_logits(24, size)[kind]
    schemes = [s for s in SCHEMES if s.temperature != 1.0 or kind != "huge"]
    agree(logits, torch.randint(size, (24,), generator=torch.Generator().manual_seed(1)), PLAIN)
    agree(
        logits,
        torch.argsort(logits, dim=-1, descending=True, stable=True)[:, min(2, size - 1)],
        [s.column for s in schemes],
    )


@pytest.mark.parametrize("size", [2, 5])
def test_fast_agrees_with_plain_on_equal_logits(size: int):
    # Away from sums of 1/V that meet p exactly, where one rounding decides.
    columns = [SamplingScheme(1.0, k, p).column for k in (None, 1, 2) for p in (None, 0.25, 0.55, 0.9)]
    agree(torch.zeros(size, size), torch.arange(size), [*PLAIN, *columns])


@given(st.integers(2, 60), st.integers(0, 10**6), st.floats(0.05, 20), st.integers(1, 70), st.floats(0.01, 0.99))
def test_fast_agrees_with_plain_on_any_scheme(size: int, seed: int, spread: float, k: int, p: float):
    logits = torch.randn(8, size, generator=torch.Generator().manual_seed(seed)) * spread
    target = torch.randint(size, (8,), generator=torch.Generator().manual_seed(seed))
    agree(
        logits,
        target,
        [SamplingScheme(t, top_k, top_p).column for t in (0.7, 1.0) for top_k in (None, k) for top_p in (None, p)],
    )


@pytest.mark.parametrize("kind", ["random", "peaked", "tied", "masked", "one far below"])
def test_fast_agrees_with_plain_from_freezing_to_boiling(kind: str):
    logits = shapes_of_logits(12, 300, seed=3)[kind]
    schemes = [SamplingScheme(t, k, p) for t in (0.01, 0.1, 0.3, 4.0, 30.0) for k in (None, 7) for p in (None, 0.85)]
    columns = [s.column for s in schemes]
    order = torch.argsort(logits, dim=-1, descending=True, stable=True)
    for place in (0, 1, 20):
        fast, plain = (reduce(logits, order[:, place], [*PLAIN, *columns]) for reduce in (reduce_fast, reduce_plain))
        for column in columns:  # at T = 0.01 the logs are hundreds of nats: float32 in the table
            np.testing.assert_allclose(fast[column], plain[column], rtol=2e-5, atol=1e-5, err_msg=column)
        np.testing.assert_allclose(fast["logprob"], plain["logprob"], **TOLERANCE)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 3000.0])
def test_fast_agrees_with_plain_from_nearly_greedy_to_nearly_uniform(spread: float):
    # Far apart, temperatures get bins of their own; where the logits spread far, the last tokens fall beyond the bins.
    logits = shapes_of_logits(16, 300)["random"] * spread
    order = torch.argsort(logits, dim=-1, descending=True, stable=True)
    temperatures = (0.01, 0.1, 0.24, 0.25, 1.0, 3.99, 4.0, 100.0)
    schemes = [SamplingScheme(t, k, p) for t in temperatures for k in (None, 20, 299) for p in (None, 0.8)]
    for place in (0, 1, 25, 299):
        agree(logits, order[:, place], [*PLAIN, *(s.column for s in schemes)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(shapes_of_logits(1, 2)))
def test_fast_agrees_with_plain_on_the_vocabulary_of_gpt2(kind: str):
    logits = shapes_of_logits(6, 50_257)[kind]
    order = torch.argsort(logits, dim=-1, descending=True, stable=True)
    for place in (0, 1, 39, 500, 50_256):
        agree(logits, order[:, place], EVERYTHING if kind != "huge" else PLAIN)


def test_columns_do_not_influence_each_other():
    logits = shapes_of_logits(6, 90)["random"]
    together = reduce_fast(logits, torch.arange(6), EVERYTHING)
    for column in EVERYTHING:
        np.testing.assert_array_equal(reduce_fast(logits, torch.arange(6), [column])[column], together[column])


def test_two_threads_say_what_one_says():
    logits, target = shapes_of_logits(25, 300)["random"], torch.arange(25)
    assert torch.get_num_threads() == 1
    alone = reduce_fast(logits, target, EVERYTHING)
    torch.set_num_threads(2)
    try:
        both = reduce_fast(logits, target, EVERYTHING)
        single = reduce_fast(logits[:1], target[:1], EVERYTHING)
    finally:
        torch.set_num_threads(1)
    for column in EVERYTHING:
        np.testing.assert_array_equal(alone[column], both[column])
        assert single[column][0] == alone[column][0]


def test_no_positions_give_empty_columns():
    found = reduce_fast(torch.empty(0, 7), torch.empty(0, dtype=torch.int64), EVERYTHING)
    assert all(values.shape == (0,) for values in found.values())


def test_logits_of_any_precision_and_layout_are_read():
    logits = shapes_of_logits(5, 33)["half precision"]
    expected = reduce_plain(logits, torch.arange(5), EVERYTHING)
    for same in (logits.bfloat16(), logits.double(), logits.T.contiguous().T, logits.clone().requires_grad_()):
        found = reduce_logits(same, torch.arange(5), EVERYTHING)
        for column in EVERYTHING:
            np.testing.assert_allclose(found[column], expected[column], **TOLERANCE)


def test_chunks_stay_small_and_never_empty():
    assert chunk_rows(50_257) * 50_257 * 4 <= CHUNK_BYTES
    assert chunk_rows(10**9) == 1


# --------------------------------------------------------------- against others


def warped(logits_NV: Tensor, scheme: SamplingScheme) -> Tensor:
    """What transformers draws from: its own warpers in the order of its `generate`, in float64."""
    scores = logits_NV.double()
    if scheme.temperature != 1.0:
        scores = TemperatureLogitsWarper(scheme.temperature)(None, scores)  # pyright: ignore
    if scheme.top_k is not None:
        scores = TopKLogitsWarper(scheme.top_k)(None, scores)  # pyright: ignore
    if scheme.top_p is not None and scheme.top_p < 1:
        scores = TopPLogitsWarper(scheme.top_p)(None, scores)  # pyright: ignore
    return scores.log_softmax(-1)


@BOTH
@pytest.mark.parametrize("kind", ["random", "peaked", "nearly flat", "masked"])
@pytest.mark.parametrize("size", [2, 5, 120])
def test_schemes_agree_with_the_warpers_of_transformers(reduce, kind: str, size: int):  # pyright: ignore
    for row in shapes_of_logits(3, size, seed=5)[kind]:
        every = row.expand(size, size)
        found = reduce(every, torch.arange(size), [s.column for s in SCHEMES])
        for scheme in SCHEMES:
            expected = warped(row[None], scheme)[0].numpy()
            np.testing.assert_allclose(found[scheme.column], expected, **TOLERANCE, err_msg=scheme.name)


@BOTH
def test_with_ties_as_many_tokens_stay_as_in_transformers(reduce):  # pyright: ignore
    # Which of the tied ones its unstable sort keeps is left open; how many, and top-k altogether, are not.
    row = shapes_of_logits(1, 120)["tied"][0]
    for scheme in SCHEMES:
        found = reduce(row.expand(120, 120), torch.arange(120), [scheme.column])[scheme.column]
        expected = warped(row[None], scheme)[0].numpy()
        np.testing.assert_allclose(np.sort(found), np.sort(expected), **TOLERANCE, err_msg=scheme.name)
        if scheme.top_p in (None, 1.0):
            np.testing.assert_allclose(found, expected, **TOLERANCE, err_msg=scheme.name)


@BOTH
@pytest.mark.parametrize("kind", ["random", "peaked", "tied"])
def test_plain_columns_agree_with_scipy(reduce, kind: str):  # pyright: ignore
    row = shapes_of_logits(1, 80)[kind][0]
    found = reduce(row.expand(80, 80), torch.arange(80), PLAIN)
    logp = log_softmax(row.double().numpy())
    p = np.exp(logp)
    np.testing.assert_allclose(found["logprob"], logp, **TOLERANCE)
    np.testing.assert_array_equal(found["rank"], rankdata(-row.numpy(), method="ordinal") - 1)
    np.testing.assert_allclose(found["mean"], np.sum(p * logp), **TOLERANCE)
    np.testing.assert_allclose(found["std"], math.sqrt(np.cov(logp, aweights=p, ddof=0)), **TOLERANCE)
    others = [np.delete(row.numpy(), i).max() for i in range(80)]
    np.testing.assert_allclose(found["gap"], row.numpy() - others, **TOLERANCE)


@BOTH
def test_the_first_rank_is_what_argmax_says(reduce):  # pyright: ignore
    for kind in ("random", "tied", "peaked"):
        logits = shapes_of_logits(50, 64)[kind]
        assert (reduce(logits, logits.argmax(-1), ["rank"])["rank"] == 0).all()


@BOTH
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_probabilities_of_a_scheme_add_up_to_one(reduce, scheme: SamplingScheme):  # pyright: ignore
    for kind in ("random", "peaked", "tied", "masked"):
        row = shapes_of_logits(1, 60)[kind][0]
        found = reduce(row.expand(60, 60), torch.arange(60), [scheme.column])[scheme.column]
        assert np.exp(found.astype(np.float64)).sum() == pytest.approx(1, abs=2e-6)
