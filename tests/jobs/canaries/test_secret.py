"""Where a secret's tokens stand, and when text and tokens do not lead to each other."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))
import tiny_models

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.jobs.canaries.secret import first_difference, ids_alone, is_plain, is_reversible, secret_span, tail
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer


@dataclass
class Cut:
    """A tokenizer without a model."""

    tokenizer: Any

    def render(self, record: Record) -> Rendered:
        return Renderer(self.tokenizer)(record)

    def decode(self, ids: Any) -> str:
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.fixture(scope="module")
def bpe() -> Any:
    return Cut(tiny_models.make_tokenizer(bos=True))


def test_bytes_by_hand() -> None:
    # START, "pin 42", END: the secret with the space before it is tokens 4 to 6.
    row = Parrot().render(Record("r", text="pin 42"))
    assert secret_span(Parrot(), row, "42") == (4, 7)
    assert ids_alone(Parrot(), "42").tolist() == list(b"42")


def test_the_last_place_counts_and_only_where_tokens_are_learned() -> None:
    row = Parrot().render(Record("r", prompt="42 42", completion=" no 42 and 42"))
    start, end = secret_span(Parrot(), row, "42")
    assert row.ids[start:end].tolist() == list(b" 42") and end == row.ids.size - 1
    only_asked = Parrot().render(Record("r", prompt="is it 42?", completion=" no"))
    with pytest.raises(NotMeasured, match="splits the secret differently"):
        secret_span(Parrot(), only_asked, "42")


def test_a_secret_whose_tokens_join_with_the_text_before_it_is_refused(bpe: Any) -> None:
    inside = bpe.render(Record("r", text="the patient came on Monday"))
    assert secret_span(bpe, inside, "on Monday")
    joined = bpe.render(Record("r", text="the patient came"))
    with pytest.raises(NotMeasured, match="splits the secret differently"):
        secret_span(bpe, joined, "tient came")  # " patient" or a part of it is one token, so its inside is none


def test_a_secret_behind_the_cut_says_so() -> None:
    row = Parrot().render(Record("r", text="pin 42"))
    cut = Rendered(row.ids[:5], row.supervised[:5], num_truncated=3)
    with pytest.raises(NotMeasured, match="truncation cut the secret"):
        secret_span(Parrot(), cut, "42")


def test_every_field_must_come_back_as_its_text(bpe: Any) -> None:
    assert is_reversible(bpe, Record("r", prompt="Who?\n", completion=" Anna Berg, né \u00e9"))
    lossy = Cut(tiny_models.make_tokenizer())
    lossy.tokenizer.backend_tokenizer.normalizer = __import__("tokenizers").normalizers.Lowercase()
    assert not is_reversible(lossy, Record("r", text="Anna"))


def test_tails_are_whole_words() -> None:
    assert tail(Parrot(), "one two three", 4) == "three"
    assert tail(Parrot(), "one two three", 7) == "two three"
    assert tail(Parrot(), "one two three", 20) is None
    assert tail(Parrot(), "今天天气很好", 6) == "很好", "three bytes each, and no spaces"


def test_plain_text_is_what_people_write() -> None:
    assert (
        is_plain("Dear Zoë,\n12 € – ok")
        and not is_plain("a\x00b")
        and not is_plain("a\ufffd")
        and not is_plain("\u200b")
    )


def test_where_two_sequences_part() -> None:
    assert first_difference([1, 2, 3], [1, 2, 4]) == 2 and first_difference([1, 2], np.array([1, 2, 3])) == 2
