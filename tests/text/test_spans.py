"""Shared runs of tokens against brute force, on alphabets so small that everything ties."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.spans import (
    BLOCK,
    CorpusSpan,
    Span,
    SpanIndex,
    common_prefix_length,
    longest_shared_span,
    normalise,
)
from remanence.text.suffix_array import suffix_array

ROW = st.lists(st.integers(0, 2), max_size=12)
ROWS = st.lists(ROW, max_size=6)


def ids(values: list[int]) -> np.ndarray:
    return np.array(values, np.int32)


def slow_shared(a: list[int], b: list[int]) -> Span:
    """The plain twin: every pair of starts, longest first, then earliest in a, then in b."""
    found = [Span(0, 0, 0)]
    for i in range(len(a)):
        for j in range(len(b)):
            k = 0
            while i + k < len(a) and j + k < len(b) and a[i + k] == b[j + k]:
                k += 1
            if k:
                found.append(Span(k, i, j))
    return min(found, key=lambda span: (-span.length, span.start_a, span.start_b))


def slow_longest(rows: list[list[int]], query: list[int], exclude: int | None) -> CorpusSpan:
    found = [CorpusSpan(0, 0, -1, 0)]
    for r, row in enumerate(rows):
        if r != exclude:
            span = slow_shared(query, row)
            found += [CorpusSpan(span.length, span.start_a, r, span.start_b)] if span.length else []
    return min(found, key=lambda span: (-span.length, span.start_query, span.row, span.start_row))


def test_the_longest_run_that_two_texts_share():
    # 7 8 9 stands at 2 in the first and at 1 in the second; 5 6 is shorter.
    assert longest_shared_span(ids([5, 6, 7, 8, 9]), ids([1, 7, 8, 9, 5, 6])) == Span(3, 2, 1)


def test_of_equal_runs_the_earliest_counts():
    assert longest_shared_span(ids([1, 2, 0, 3, 4]), ids([3, 4, 1, 2, 1, 2])) == Span(2, 0, 2)


def test_texts_with_nothing_in_common_share_a_span_of_no_tokens():
    assert longest_shared_span(ids([1, 2]), ids([3])) == Span(0, 0, 0) == longest_shared_span(ids([]), ids([3]))


@given(ROW, ROW)
def test_shared_spans_agree_with_the_slow_twin(a: list[int], b: list[int]):
    assert longest_shared_span(ids(a), ids(b)) == slow_shared(a, b)


def test_the_fast_and_the_slow_twin_agree_on_long_rows():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 90).tolist(), rng.integers(0, 4, 110).tolist()
    assert longest_shared_span(ids(a), ids(b)) == slow_shared(a, b)


@given(ROW)
def test_a_suffix_array_is_the_sorted_suffixes(text: list[int]):
    expected = sorted(range(len(text)), key=lambda i: text[i:])
    assert suffix_array(ids(text)).tolist() == expected


def test_a_corpus_names_the_row_and_the_place():
    index = SpanIndex.build([ids([1, 2, 3, 4]), ids([]), ids([9, 2, 3, 4, 5])])
    assert index.longest(ids([0, 2, 3, 4, 5, 1])) == CorpusSpan(4, 1, 2, 1)
    assert index.longest(ids([2, 3, 4])) == CorpusSpan(3, 0, 0, 1)
    assert index.longest(ids([2, 3, 4]), exclude_row=0) == CorpusSpan(3, 0, 2, 1)
    assert index.longest(ids([77, 0])) == CorpusSpan(0, 0, -1, 0)


def test_no_run_crosses_from_one_row_into_the_next():
    assert SpanIndex.build([ids([1, 2]), ids([3, 4])]).longest(ids([1, 2, 3, 4])) == CorpusSpan(2, 0, 0, 0)


@given(ROWS, ROW, st.integers(0, 5))
def test_corpus_spans_agree_with_the_slow_twin(rows: list[list[int]], query: list[int], exclude: int):
    index = SpanIndex.build([ids(row) for row in rows])
    assert index.longest(ids(query)) == slow_longest(rows, query, None)
    if exclude < len(rows):
        assert index.longest(ids(query), exclude) == slow_longest(rows, query, exclude)
        assert index.longest(ids(rows[exclude]), exclude) == slow_longest(rows, rows[exclude], exclude)


@given(ROWS, st.lists(st.integers(0, 3), max_size=4))
def test_occurrences_are_counted_with_overlaps(rows: list[list[int]], run: list[int]):
    index = SpanIndex.build([ids(row) for row in rows])
    expected = sum(row[i : i + len(run)] == run for row in rows for i in range(len(row))) if run else 0
    assert index.count(ids(run)) == expected


def test_the_first_row_is_named_however_many_rows_have_the_run():
    # More occurrences than a block of the index; row 0 holds a whole block of them and is left out.
    rows = [np.zeros(2 * BLOCK, np.int64), *(np.array([1, 0, 0]) for _ in range(3 * BLOCK))]
    index = SpanIndex.build(rows)
    assert index.longest(np.array([0, 0])) == CorpusSpan(2, 0, 0, 0)
    assert index.longest(np.array([0, 0]), exclude_row=0) == CorpusSpan(2, 0, 1, 1)
    assert index.longest(np.zeros(BLOCK, np.int64), exclude_row=0) == CorpusSpan(2, 0, 1, 1)
    assert index.count(np.array([1, 0])) == 3 * BLOCK
    assert index.count(np.array([0])) == 2 * BLOCK + 2 * 3 * BLOCK


def test_a_larger_corpus_agrees_with_a_string_search():
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 5, int(rng.integers(0, 40))).tolist() for _ in range(300)]
    rows += rows[:40] * 3
    index = SpanIndex.build([ids(row) for row in rows])
    strings = ["".join(map(str, row)) for row in rows]
    for r in range(0, 420, 7):
        query, others = strings[r], [s for k, s in enumerate(strings) if k != r]
        found = index.longest(ids(rows[r]), exclude_row=r)
        run = query[found.start_query : found.start_query + found.length]
        assert strings[found.row][found.start_row :].startswith(run) and (found.row != r or not run)
        longer = (query[i : i + found.length + 1] for i in range(len(query) - found.length))
        assert not any(piece in other for piece in longer for other in others)
        assert index.count(ids(rows[r][:4])) == (
            sum(len(re.findall(f"(?={query[:4]})", s)) for s in strings) if query else 0
        )


def test_any_integer_is_a_token_id():
    index = SpanIndex.build([np.array([-5, 2**40, 7]), np.array([7, -5], np.int8)])
    assert index.longest(np.array([2**40, 7])) == CorpusSpan(2, 0, 0, 1)
    assert index.longest(np.array([7, -5], np.int16)) == CorpusSpan(2, 0, 1, 0)


def test_wrong_rows_and_wrong_types_are_refused_in_one_sentence():
    index = SpanIndex.build([ids([1])])
    with pytest.raises(ValueError, match="rows 0 to 0"):
        index.longest(ids([1]), exclude_row=1)
    with pytest.raises(ValueError, match="token ids"):
        longest_shared_span(np.array([0.5]), ids([1]))  # pyright: ignore[reportArgumentType]


@given(ROW, ROW)
def test_the_common_prefix_ends_at_the_first_difference(a: list[int], b: list[int]):
    expected = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common_prefix_length(ids(a), ids(b)) == expected


def test_normalised_text_forgets_case_width_and_white_space():
    assert normalise("  Ｈｅｌｌｏ\t\nStraße ﬁne  ") == "hello strasse fine"
    assert normalise("") == normalise(" \n") == ""
    assert normalise("سلام 🙂") == "سلام 🙂"


@given(st.text())
def test_normalising_twice_changes_nothing(text: str):
    assert normalise(normalise(text)) == normalise(text)
