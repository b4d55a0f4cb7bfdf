"""Sampling schemes have names that can be read back, and refuse what cannot be drawn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import RemanenceError
from remanence.core.scheme import SamplingScheme


def test_the_name_is_short_and_readable():
    assert SamplingScheme().name == "T=1"
    assert SamplingScheme(0.8, 40, 0.9).name == "T=0.8,k=40,p=0.9"
    assert SamplingScheme(0.8).column == "logprob[T=0.8]"


def test_any_part_may_be_left_out():
    assert SamplingScheme.parse("k=40") == SamplingScheme(1.0, 40)
    assert SamplingScheme.parse(" p=0.5 , T=2 ") == SamplingScheme(2.0, None, 0.5)


@given(
    st.floats(1e-6, 1e6),
    st.none() | st.integers(1, 10**6),
    st.none() | st.floats(0, 1, exclude_min=True),
)
def test_name_and_column_can_be_read_back(temperature: float, top_k: int | None, top_p: float | None):
    # Six digits would not do: two schemes must never share a column.
    scheme = SamplingScheme(temperature, top_k, top_p)
    assert SamplingScheme.parse(scheme.name) == scheme == SamplingScheme.of_column(scheme.column)


@pytest.mark.parametrize("column", ["logprob", "rank", "gap", "mean", "std"])
def test_plain_columns_belong_to_no_scheme(column: str):
    assert SamplingScheme.of_column(column) is None


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"temperature": 0}, "greedy"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 0}, "top-k"),
        ({"top_p": 0}, "top-p"),
        ({"top_p": 1.1}, "top-p"),
        ({"top_p": math.nan}, "top-p"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values: dict[str, float], word: str):
    with pytest.raises(RemanenceError, match=word):
        SamplingScheme(**values)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["", "x", "T=hot", "T", "beam=4", "T=1;k=2", "k=2.5", "k=inf", "k=nan"])
def test_what_cannot_be_read_says_how_to_write_it(text: str):
    with pytest.raises(RemanenceError, match="Cannot read sampling scheme"):
        SamplingScheme.parse(text)
