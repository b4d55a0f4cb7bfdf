"""Exposure of a row's own rarest span: which span, against what, and how many bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.record import Record
from remanence.core.table import Rendered, TokenRow
from remanence.measure.extraction.exposure import (
    Corpus,
    Exposure,
    learned_windows,
    rarest_span,
    shared_spans,
    span_hashes,
    windows,
)
from remanence.models.parrot import Parrot

ROWS = st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=5)


@dataclass(frozen=True)
class Ordered(Parrot):
    """The log-probability of a byte is its negative number: a before b before c, whatever stands before."""

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        for row in rendered:
            if isinstance(row, str):
                yield row
            else:
                yield TokenRow(row, {"logprob": np.where(row.scored, -row.ids, np.nan).astype(np.float32)})


def row(ids: Sequence[int], learned: Sequence[int] | None = None) -> Rendered:
    return Rendered(np.array(ids, np.int32), np.array(learned or [1] * len(ids), bool))


def test_exposure_by_hand():
    # One-token spans of "q" + "c" beside held-out a, b, d, e: c is third of five, log2 5 - log2 3.
    heldout = tuple(Record(x, prompt="q", completion=x) for x in "abde")
    training = (Record("1", prompt="q", completion="c"), Record("2", prompt="q", completion="zz"))
    target = Ordered(records=training)
    (found,) = Exposure(tokens=1, heldout=heldout, training=training)(target, training[:1])
    # The end of the text is a learned token too; it stands in the row itself and so is no alternative.
    assert found.evidence["at"] == 2 and found.evidence["candidates"] == 5
    assert found.score == pytest.approx(math.log2(5) - math.log2(3))
    assert found.evidence["rank"] == pytest.approx(3) and found.evidence["most"] == pytest.approx(math.log2(5))


def test_the_rarest_of_the_own_spans_is_chosen_by_hand():
    # Tokens 1 and 2 are everywhere, 7 stands once: the first span of three with a 7 and most surprise begins at 1.
    rows = [row([1, 2, 1, 7, 1, 2]), row([1, 2, 1, 1, 2, 2, 1])]
    corpus = Corpus(rows)
    assert np.argmax(corpus.surprise_V) in {0, 7}
    at = corpus.rarest_own_span(rows[0], 3)
    assert at is not None and 7 in rows[0].ids[at : at + 3]
    assert rarest_span(np.array([1.0, 5.0, 0.0, 5.0]), np.array([True, True, True]), 2) == 0
    assert rarest_span(np.array([1.0, 5.0, 0.0, 5.0]), np.array([False, True, True]), 2) == 1
    assert rarest_span(np.array([1.0, 5.0]), np.array([False]), 2) is None


@given(ROWS, st.integers(1, 3))
def test_shared_spans_against_a_count_of_tuples(rows: list[list[int]], tokens: int):
    arrays = [np.array(ids, np.int32) for ids in rows]
    shared = shared_spans(arrays, tokens)
    spans = [[tuple(ids[k : k + tokens]) for k in range(len(ids) - tokens + 1)] for ids in rows]
    for ids, own in zip(arrays, spans, strict=True):
        slow = [sum(span in other for other in spans) > 1 for span in own]
        assert np.isin(span_hashes(ids, tokens), shared).tolist() == slow


@given(st.lists(st.booleans(), max_size=9), st.integers(1, 4))
def test_learned_windows_against_slices(flags: list[bool], tokens: int):
    slow = [all(flags[k : k + tokens]) for k in range(len(flags) - tokens + 1)]
    assert learned_windows(np.array(flags, bool), tokens).tolist() == slow


def test_alternatives_are_distinct_learned_spans():
    # The first token is not predicted, the 9 carries no loss: 2 3, 3 2 and 2 3 again are left.
    assert windows([row([1, 2, 3, 2, 3, 9], [1, 1, 1, 1, 1, 0])], 2).tolist() == [[2, 3], [3, 2]]


def test_a_row_and_its_copies_are_one_and_near_copies_share_their_spans():
    told = (Record("1", text="abcdefgh"), Record("2", text="abcdefgh"), Record("3", text="abcdefghZ"))
    heldout = (Record("h", text="the quick brown fox"),)
    found = Exposure(tokens=4, heldout=heldout, training=told[:2])(Parrot(told), told[:1])
    assert found[0].score == pytest.approx(math.log2(found[0].evidence["candidates"])), "a copy does not disown it"
    found = Exposure(tokens=4, heldout=heldout, training=told)(Parrot(told), told[:1])
    parrot = Parrot()
    at = found[0].evidence["at"]
    assert parrot.render(told[0]).ids[at : at + 4].tolist() == [*b"fgh", 257], "only its end is its own"
    twin = (Record("1", text="abc"), Record("2", prompt="", completion="abc"))
    found = Exposure(tokens=2, heldout=heldout, training=(Record("3", text="xabc"),))(Parrot(), twin[:1])
    assert found[0].reason == "each of its spans stands in another training row too"


def test_only_told_rows_are_exposed_and_chance_stands_beside_it():
    told = tuple(Record(str(n), text=f"code {n * 7919 % 1000:03d} for door {n}") for n in range(9))
    heldout = tuple(Record(f"h{n}", text=f"Nobody wrote {n * 104729 % 1000:03d} on wall {n}") for n in range(9))
    for found in Exposure(heldout=heldout, training=told)(Parrot(told), told):
        assert found.score == 5 and found.evidence["candidates"] == 32
        assert found.evidence["chance"] == pytest.approx(5 - math.log2(math.factorial(32)) / 32)
    for found in Exposure(heldout=heldout, training=told)(Parrot(), told):
        assert found.score == pytest.approx(5 - math.log2(16.5)), "a model without opinion ranks all in the middle"


def test_order_seed_and_short_rows():
    records = [Record(str(n), text=f"row {n} says {n * n}") for n in range(6)]
    heldout = tuple(Record(f"h{n}", text=f"other {n} writes {n * 31}") for n in range(20))
    by_id = {f.record_id: f.score for f in Exposure(candidates=4, heldout=heldout)(Ordered(), records)}
    again = Exposure(candidates=4, heldout=heldout[::-1])(Ordered(), records[::-1])
    assert {f.record_id: f.score for f in again} == by_id
    measures = [Exposure(candidates=4, seed=seed, heldout=heldout) for seed in range(4)]
    seeds = {tuple(f.score for f in measure(Ordered(), records)) for measure in measures}
    assert len(seeds) > 1
    (short,) = Exposure(heldout=heldout)(Ordered(), [Record("s", text="x")])
    assert short.evidence["tokens"] == 2, "a byte and the end of the text"


@dataclass(frozen=True)
class Alphabet(Parrot):
    """Knows that letters follow each other in the alphabet, and no row: any other step costs five nats."""

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        for row in rendered:
            assert isinstance(row, Rendered)
            step = np.diff(row.ids, prepend=row.ids[:1]) == 1
            yield TokenRow(row, {"logprob": np.where(row.scored, np.where(step, 0.0, -5.0), np.nan).astype(np.float32)})


def test_fluent_text_is_exposed_without_memory_so_held_out_rows_are_the_floor():
    """A span that fits its place beats spans that do not, in a row never seen as well: nothing above the floor here."""
    letters = ["".join(chr(start + k) for k in range(10)) for start in (35, 50, 65, 80, 95, 110)]
    records = [Record(str(n), prompt=text[0], completion=text[1:]) for n, text in enumerate(letters)]
    rows, heldout = records[:3], tuple(records[3:])
    measure = Exposure(tokens=4, candidates=8, heldout=heldout, training=tuple(rows))
    trained, floor = (np.mean([f.score for f in measure(Alphabet(), side)]) for side in (rows, heldout))  # pyright: ignore
    assert measure(Alphabet(), rows)[0].evidence["chance"] < 1.4
    assert trained == floor == 3, "the first of eight, and nobody was ever taught a row"
