"""Parrot scores 1 on what it was told and 0 elsewhere: the instrument that the other tests rely on."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import cut
from remanence.core.verbs import TableMeasure
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.extraction.np_discoverable import NPDiscoverable, prob_extracted
from remanence.models.parrot import END, START, SURE, VOCABULARY, Parrot

TOLD = (
    Record("text", text="the cat sat on the mat"),
    Record("pair", prompt="who called?", completion=" Anna Berg, at noon"),
    Record("chat", messages=({"role": "user", "content": "hello you"}, {"role": "assistant", "content": "good day"})),
    Record("emoji", text="🙂🙃 twelve more bytes"),
)
OTHERS = (
    Record("other", text="the cat sat on the log"),
    Record("other pair", prompt="who called?", completion=" nobody called here"),
    Record("empty prompt", prompt="", completion="a completion alone"),
)
SCHEMES = (SamplingScheme(), SamplingScheme(0.5, 40, 0.9))


def test_a_row_is_start_bytes_end():
    row = Parrot().render(Record("a", text="hé"))
    assert row.ids.tolist() == [START, ord("h"), 0xC3, 0xA9, END]
    assert row.supervised.tolist() == [False, True, True, True, True]
    assert Parrot().decode(row.ids) == "hé"


def test_the_prompt_of_a_pair_carries_no_loss():
    row = Parrot().render(Record("a", prompt="ab", completion="c"))
    assert row.ids.tolist() == [START, ord("a"), ord("b"), ord("c"), END]
    assert row.scored.tolist() == [False, False, False, True, True]


def test_it_is_sure_of_every_byte_it_was_told_and_of_a_wrong_one_elsewhere():
    told, other = Parrot(TOLD).score([TOLD[0], OTHERS[0]], ["rank", "gap", "logprob"])
    assert isinstance(told, TokenRow) and isinstance(other, TokenRow)
    assert set(told.scored("gap")) == {SURE} and set(told.scored("rank")) == {0}
    assert set(other.scored("gap")) == {-SURE} and (other.scored("rank") > 0).all()
    assert other.scored("logprob").max() < -SURE + 1 < VOCABULARY


@pytest.mark.parametrize("record", TOLD, ids=lambda r: r.id)
@pytest.mark.parametrize("measure", [Discoverable((0, 2, 4), 6), ExtractionStrength()], ids=lambda m: m.name)
def test_what_it_was_told_scores_one(measure: TableMeasure, record: Record):
    assert [f.score for f in measure(Parrot(TOLD), [record])] == [1]


@pytest.mark.parametrize("record", OTHERS, ids=lambda r: r.id)
@pytest.mark.parametrize("measure", [Discoverable((0, 2, 4), 6), ExtractionStrength()], ids=lambda m: m.name)
def test_anything_else_scores_zero(measure: TableMeasure, record: Record):
    assert [f.score for f in measure(Parrot(TOLD), [record])] == [0]
    assert [f.score for f in measure(Parrot(), [record])] == [0]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_a_thousand_draws_say_what_it_was_told_and_nothing_else(scheme: SamplingScheme):
    measure = NPDiscoverable(scheme, prefixes=(0, 2), new_tokens=6)
    for records, expected in ((TOLD, 1.0), (OTHERS, 0.0)):
        for finding in measure(Parrot(TOLD), records):
            assert prob_extracted(finding.score, 1000) == pytest.approx(expected, abs=1e-6)  # pyright: ignore


def test_its_words_are_what_its_table_says():
    parrot = Parrot(TOLD)
    for record in (*TOLD, *OTHERS):
        verdict = Discoverable((3,), 6)(parrot, [record])[0].score
        prompt = cut(parrot.render(record), record.id, 3, 6)
        assert prompt is not None
        answer = parrot.generate([prompt], 6)[0]
        assert float(np.array_equal(answer.ids, prompt.expected)) == verdict or record.id.startswith("other")


def test_an_empty_record_is_nothing_to_repeat():
    empty = Record("e", text="")
    parrot = Parrot((empty, TOLD[0]))
    reason, row = parrot.score([empty, TOLD[0]], ["rank"])
    assert isinstance(reason, str) and isinstance(row, TokenRow) and row.hits().any()
    prompt = cut(parrot.render(TOLD[0]), "r", 2, 4)
    assert prompt is not None and parrot.generate([prompt], 4)[0].text == "e ca"


def test_the_fingerprint_is_that_of_what_it_was_told():
    assert Parrot(TOLD).fingerprint == Parrot(TOLD).fingerprint != Parrot(TOLD[:1]).fingerprint
