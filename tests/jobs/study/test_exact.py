"""What comes back, counted on a table by hand: sides, splits, budgets, and what cannot be measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from remanence.core.table import Rendered, TokenRow
from remanence.jobs.study.outcomes import ANY, Cell, Probe, outcomes
from remanence.jobs.study.settings import StudySettings, split_at

SETTINGS = StudySettings(prefixes=("0", "2", "50%"), budgets=(2, 4), queries=(1, 10), schemes=("T=1",))


def row(ranks: list[int], boundary: int, source: list[int] | None = None, p: float = 0.5) -> Probe:
    """A row whose token t has rank `ranks[t]` and probability p; the first token of a decoder is not predicted."""
    n = len(ranks)
    columns = {
        "rank": np.array(ranks, np.int32),
        "logprob": np.full(n, math.log(p), np.float32),
        "logprob[T=1]": np.full(n, math.log(p), np.float32),
    }
    if source is None:
        columns["rank"][0], columns["logprob"][0], columns["logprob[T=1]"][0] = -1, np.nan, np.nan
    rendered = Rendered(np.arange(n, dtype=np.int32), np.ones(n, bool), None if source is None else np.array(source))
    return Probe(TokenRow(rendered, columns), boundary)


def found(*probes: Probe) -> dict[Cell, list[float]]:
    return {cell: values.tolist() for cell, values in outcomes(probes, SETTINGS)}


def test_by_hand() -> None:
    # tokens      0  1  2  3  4 | 5  6  7  8     (input 1..4, output 5..8)
    cells = found(row([-1, 0, 0, 3, 0, 0, 0, 0, 1], 5))
    assert cells[Cell("greedy", "input", "0", 2)] == [1.0]  # tokens 1, 2
    assert cells[Cell("greedy", "input", "2", 2)] == [0.0]  # tokens 3, 4: token 3 is not the first choice
    assert cells[Cell("greedy", "input", "50%", 2)] == [0.0]  # half of four tokens given: the same split
    assert cells[Cell("greedy", "input", ANY, 2)] == [1.0]
    assert cells[Cell("greedy", "output", "0", 4)] == [0.0]
    assert cells[Cell("greedy", "output", "0", 2)] == [1.0]
    assert cells[Cell("greedy", "output", "2", 2)] == [0.0]


def test_a_side_too_short_is_not_measurable_and_never_a_zero() -> None:
    cells = found(row([-1, 0, 0, 0, 0, 0], 5))  # an output of one token
    assert all(math.isnan(cells[Cell("greedy", "output", p, 2)][0]) for p in ("0", "2", "50%", ANY))
    assert cells[Cell("greedy", "input", "0", 4)] == [1.0]
    assert math.isnan(cells[Cell("greedy", "input", "2", 4)][0])
    assert cells[Cell("greedy", "input", ANY, 4)] == [1.0]


def test_sampling_is_the_closed_form() -> None:
    cells = found(row([-1, 5, 5, 5, 5], 5))
    # two tokens at one half each: p = 1/4 in one draw, 1 - (3/4)^10 = 0.94 in ten
    assert cells[Cell("sampled", "input", "0", 2, "T=1, n=1")] == [0.0]
    assert cells[Cell("sampled", "input", "0", 2, "T=1, n=10")] == [1.0]


def test_log_probability_is_the_mean_of_the_side() -> None:
    cells = found(row([-1, 0, 0, 0, 0, 0], 3, p=0.25))
    assert cells[Cell("nats", "input")] == [pytest.approx(math.log(0.25))]
    assert cells[Cell("nats", "output")] == [pytest.approx(math.log(0.25))]


def test_an_encoders_input_is_read_by_nobody() -> None:
    cells = found(row([0, 0, 0], 0, source=[7, 8]))
    assert cells[Cell("greedy", "output", "0", 2)] == [1.0]
    assert not any(cell.side == "input" for cell in cells)


def test_a_row_that_was_not_measured_is_nan_everywhere() -> None:
    cells = found(Probe("the row is empty", 0), row([-1, 0, 0, 0, 0], 5))
    assert all(math.isnan(values[0]) for values in cells.values())
    assert cells[Cell("greedy", "input", "0", 2)][1] == 1.0


def test_brute_force_agrees_on_random_rows() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(2, 14))
        boundary = int(rng.integers(1, n + 1))
        ranks = [-1, *rng.integers(0, 2, n - 1).tolist()]
        cells = found(row(ranks, boundary))
        for side, low, high in (("input", 1, boundary), ("output", boundary, n)):
            for prefix in SETTINGS.prefixes:
                for budget in SETTINGS.budgets:
                    if high <= low:
                        assert Cell("greedy", side, prefix, budget) not in cells
                        continue
                    at = low + split_at(prefix, high - low)
                    fits = at + budget <= high
                    want = float(all(r == 0 for r in ranks[at : at + budget])) if fits else math.nan
                    got = cells[Cell("greedy", side, prefix, budget)][0]
                    assert got == want or (math.isnan(got) and math.isnan(want))
