"""A table measure: rows in, findings out, nothing lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding, Score
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.verbs import TableMeasure, columns_for
from remanence.measure.extraction.np_discoverable import NPDiscoverable
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus
from remanence.measure.likelihood.reference import Reference
from remanence.models.parrot import Parrot


@dataclass(frozen=True)
class Length(TableMeasure):
    """How many tokens carry loss; more than four cannot be judged."""

    needs = ("logprob",)
    name = "length"

    def score(self, row: TokenRow, base: TokenRow | None = None) -> Score:
        size = row.scored("logprob").size
        if size > 4:
            raise NotMeasured("too long")
        return Score(float(size), {"tokens": size})


RECORDS = [Record("a", text="abc"), Record("e", text=""), Record("b", text="abcdefg"), Record("c", text="x")]


def test_one_finding_per_record_in_order_with_a_score_or_a_reason():
    # abc and its end: four tokens; the empty text: none; seven and the end: too long; x and the end: two.
    found = Length()(Parrot(), RECORDS)
    assert [f.record_id for f in found] == ["a", "e", "b", "c"] and {f.measure for f in found} == {"length"}
    assert [f.score for f in found] == [4, None, None, 2]
    assert found[1].reason is not None and "empty" in found[1].reason and found[2].reason == "too long"
    assert found[0].evidence == {"tokens": 4}


def test_no_records_give_no_findings():
    assert Length()(Parrot(), []) == []


def test_a_reason_of_the_base_model_is_kept_too():
    row = next(iter(Parrot().score([RECORDS[0]], ["logprob"])))
    assert Reference().find("a", row, "the base model has no such row").reason == "the base model has no such row"
    assert Reference().find("a", "cut off", row).reason == "cut off"


def test_a_target_that_loses_a_row_is_found_out():
    class Forgetful(Parrot):
        def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
            return super().score(records[1:], columns)

    with pytest.raises(ValueError, match="shorter"):
        Length()(Forgetful(), RECORDS)


def test_a_finding_has_a_score_or_a_reason():
    for score, reason in ((None, None), (1.0, "both")):
        with pytest.raises(AssertionError):
            Finding("a", "m", score, reason=reason)


def test_columns_are_the_union_of_what_is_needed():
    scheme = SamplingScheme(0.5)
    assert columns_for([MinKPlusPlus(), Reference(), NPDiscoverable(scheme)], [SamplingScheme()]) == [
        "gap",
        "logprob",
        "logprob[T=0.5]",
        "logprob[T=1]",
        "mean",
        "std",
    ]
