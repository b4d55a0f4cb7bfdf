"""Splitting of rows for a server that exchanges text only: units of a row, prompts, and comparison of replies.

A chat is written as turns behind marks, negative ids that no tokenizer has; only its last reply is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered
from remanence.core.target import Prompt

Turn = tuple[str, list[int]]
"""A role, and the ids of what it said."""


class Cutter(Protocol):
    """Cuts texts into units, words or tokens, and reads answers in them."""

    name: str
    """What is counted: `words`, or the tokenizer's name."""
    unit: str
    """word or token."""
    marks: Marks

    def render(self, record: Record) -> Rendered:
        """The row in units, and which of them are asked for."""
        ...

    def decode(self, ids: IntsT) -> str:
        """Text of the units, with marks as `role: `; for people and for the detector."""
        ...

    def shown(self, ids: IntsT) -> str:
        """The text to send for these units, exactly. Raises `NotMeasured` where the server would read other tokens."""
        ...

    def room(self, expected: IntsT) -> int:
        """How many of the server's tokens to ask for, so that these units fit in."""
        ...

    def read(self, given: IntsT, expected: IntsT, text: str, finish: str | None) -> IntsT | None:
        """The answer in units, at most as many as `expected`; None = it was cut off too early to tell.

        As far as the answer's text is the row's own, its units are the row's own. What stands between the prompt and
        the first letter is not compared: servers differ in the spaces that they leave away.
        """
        ...


class Marks:
    """Ids for the beginning of a turn, by role: -2, -3, ..."""

    def __init__(self) -> None:
        self._roles: list[str] = []

    def of(self, role: str) -> int:
        """The mark of a role."""
        if role not in self._roles:
            self._roles.append(role)
        return -2 - self._roles.index(role)

    def role(self, mark: int) -> str:
        """The role of a mark."""
        return self._roles[-2 - mark]

    def turns(self, ids: IntsT) -> list[Turn] | None:
        """The turns of a chat; None for ids that are none."""
        if not ids.size or ids[0] >= 0:
            return None
        at = [*np.flatnonzero(ids < 0).tolist(), ids.size]
        return [(self.role(int(ids[a])), ids[a + 1 : b].tolist()) for a, b in pairwise(at)]

    def chat(self, record: Record, cut: Any) -> Rendered:
        """A chat up to its last reply, which alone is asked for. `cut`: text -> ids."""
        turns = list(record.messages or ())
        last = next((i for i in reversed(range(len(turns))) if turns[i].get("role") == "assistant"), None)
        if last is None:
            raise NotMeasured("the chat has no assistant turn")
        if not last:
            raise NotMeasured("nothing stands before the reply, so there is nothing to ask")
        if record.meta.get("tools"):
            raise NotMeasured("its tools are not sent to a server")
        ids: list[int] = []
        for turn in turns[: last + 1]:
            content = turn.get("content")
            if not isinstance(content, str):
                raise NotMeasured("a turn of the chat is no text")
            content_ids = cut(content)
            ids += [self.of(str(turn["role"])), *content_ids]
        reply = len(cut(turns[last]["content"]))
        if not reply:
            raise NotMeasured("the reply is empty")
        return Rendered(np.array(ids, np.int32), np.arange(len(ids)) >= len(ids) - reply)

    def decode(self, ids: IntsT, plain: Any) -> str:
        """Text of ids that may hold marks. `plain`: ids without marks -> text."""
        turns = self.turns(ids)
        if turns is None:
            return plain(ids)
        return "\n".join(f"{role}: {plain(np.array(content_ids, np.int32))}" for role, content_ids in turns)


def started(prompt: Prompt) -> IntsT:
    """Of what a prompt shows, the part that the answer goes on from: the begun reply of a chat, all of a text."""
    marks = np.flatnonzero(prompt.ids < 0)
    return prompt.ids[marks[-1] + 1 :] if marks.size else prompt.ids


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of leading ids that are equal."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def led(expected: str, text: str) -> str:
    """The answer, begun with the same white space as the row."""
    return expected[: len(expected) - len(expected.lstrip())] + text.lstrip()
