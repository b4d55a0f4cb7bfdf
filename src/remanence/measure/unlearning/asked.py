"""Where a row's question ends and its answer begins: what is put to a model, and what would show that it knows it.

A row with a prompt, a chat header or an encoder's source is asked with that; of a text, whose every token is learned,
the first half is given and the second half asked for.
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
    """The answer's tokens are `ids[at:end]`; what stands before them is the question."""

    rendered: Rendered
    at: int
    end: int

    @property
    def answer(self) -> IntsT:
        """[N] token ids."""
        return self.rendered.ids[self.at : self.end]

    def with_answer(self, ids: IntsT) -> Rendered:
        """The same question with other tokens as the answer, which alone carry loss."""
        whole = np.concatenate([self.rendered.ids[: self.at], ids]).astype(np.int32)
        return Rendered(whole, np.arange(whole.size) >= self.at, self.rendered.source)


def asked(rendered: Rendered) -> Asked:
    """Of several learned parts the first counts. Raises `NotMeasured` for a row with nothing to ask or to answer."""
    at, scored = rendered.start, rendered.scored
    gaps = np.flatnonzero(~scored[at:])
    end = at + int(gaps[0]) if gaps.size else int(scored.size)
    if rendered.source is None and at == rendered.first:
        at += (end - at + 1) // 2
    if at >= end:
        raise NotMeasured("the text has a single token to learn, so no half of it can be asked for")
    return Asked(rendered, at, end)


def answers_otherwise(record: Record, text: str) -> Record:
    """The record with `text` in the place of what was learned: its completion, its last turn, or all of a text."""
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
    """What the user gave under `meta[name]`, a text or a list of them; empty when there is nothing."""
    given: Any = record.meta.get(name)
    listed: Sequence[Any] = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else []
    return [text for text in listed if isinstance(text, str) and text]
