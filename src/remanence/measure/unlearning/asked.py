"""Split of a row into a question (the prompt) and an answer (the tokens that show whether the model knows it).

The question is the prompt, the chat header or the encoder's source; for a text, whose tokens all have loss, it is the
first half of the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered


class Asked(NamedTuple):
    """The answer's tokens are `ids[at:end]`; the tokens before them are the question."""

    rendered: Rendered
    at: int
    end: int

    @property
    def answer(self) -> IntsT:
        """[N] token ids."""
        return self.rendered.ids[self.at : self.end]

    def with_answer(self, ids: IntsT) -> Rendered:
        """The same question with another answer; only the answer has loss."""
        whole = np.concatenate([self.rendered.ids[: self.at], ids]).astype(np.int32)
        return Rendered(whole, np.arange(whole.size) >= self.at, self.rendered.source)


def asked(rendered: Rendered) -> Asked:
    """If several parts have loss, the first is the answer. Raises `NotMeasured` for an empty question or answer."""
    at, scored = rendered.start, rendered.scored
    gaps = np.flatnonzero(~scored[at:])
    end = at + int(gaps[0]) if gaps.size else int(scored.size)
    if rendered.source is None and at == rendered.first:
        at += (end - at + 1) // 2
    if at >= end:
        raise NotMeasured("the text has a single token to learn, so no half of it can be asked for")
    return Asked(rendered, at, end)


def answers_otherwise(record: Record, text: str) -> Record:
    """The record with `text` in place of the part with loss: the completion, the last turn, or the whole text."""
    if record.form == "text":
        return replace(record, text=text)
    if record.form == "pair":
        return replace(record, completion=text)
    turns: list[Mapping[str, str]] = [dict(turn) for turn in record.messages or ()]
    if not turns:
        raise NotMeasured("the chat has no turns")
    turns[-1] = {**turns[-1], "content": text}
    return replace(record, messages=tuple(turns))


def texts_in(record: Record, name: str) -> list[str]:
    """The texts in `meta[name]`, a text or a list of texts; empty if there are none."""
    given: Any = record.meta.get(name)
    listed: Sequence[Any] = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else []
    return [text for text in listed if isinstance(text, str) and text]
