"""Words instead of tokens, for a model without a known tokenizer; splitting and joining are lossless.

A unit is a word, a run of other signs, or one sign of a script that writes no spaces, each with the white space before
it, as most tokenizers have it; so a prompt never ends in a space.
"""

from __future__ import annotations

import re

import numpy as np

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered
from remanence.models.endpoint.cutter import Marks, led

_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNITS = re.compile(rf"\s*(?:[{_ALONE}]|[^\W{_ALONE}]+|[^\w\s]+)|\s+")
BYTES_PER_TOKEN = 3
"""Of the row's next words, to begin with: rather too many tokens than too few."""


class Words:
    """Cuts at words. Ids are given in the order in which units are first seen."""

    name, unit = "words", "word"

    def __init__(self, loss_on: str = "auto", max_length: int | None = None) -> None:
        if max_length is not None:
            raise RemanenceError("--max-length counts tokens: name the model's tokenizer with --tokenizer.")
        self.marks = Marks()
        self.loss_on = loss_on
        self._units: list[str] = []
        self._ids: dict[str, int] = {}

    def cut(self, text: str) -> list[int]:
        """The ids of a text's units."""
        ids: list[int] = []
        for unit in _UNITS.findall(text):
            if unit not in self._ids:
                self._ids[unit] = len(self._units)
                self._units.append(unit)
            ids.append(self._ids[unit])
        return ids

    def render(self, record: Record) -> Rendered:
        """All of a text, the completion of a pair, the last reply of a chat."""
        if record.form == "messages":
            return self.marks.chat(record, self.cut)
        shown = self.cut(record.prompt or "") if record.form == "pair" else []
        asked = self.cut((record.completion if record.form == "pair" else record.text) or "")
        if not asked:
            raise NotMeasured("the completion is empty" if record.form == "pair" else "the text is empty")
        ids = np.array([*shown, *asked], np.int32)
        return Rendered(ids, np.arange(ids.size) >= (0 if self.loss_on == "all" else len(shown)))

    def plain(self, ids: IntsT) -> str:
        """Text of units without marks."""
        return "".join(self._units[i] for i in ids.tolist())

    def decode(self, ids: IntsT) -> str:
        """Text of the units."""
        return self.marks.decode(ids, self.plain)

    def shown(self, ids: IntsT) -> str:
        """Text of the units; whatever the server makes of it is what it would make of a user's text."""
        return self.plain(ids)

    def room(self, expected: IntsT) -> int:
        """By the length of the row's own words."""
        return -(-len(self.plain(expected).encode("utf-8", "replace")) // BYTES_PER_TOKEN) + 8

    def read(self, given: IntsT, expected: IntsT, text: str, finish: str | None) -> IntsT | None:
        """The answer's words; None where it was cut off within them."""
        ids = self.cut(led(self.plain(expected), text))
        if finish == "length" and len(ids) <= expected.size:
            return None
        return np.array(ids[: expected.size], np.int32)
