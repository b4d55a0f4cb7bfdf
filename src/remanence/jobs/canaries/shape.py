"""The shape of a row without its content: what many rows share stays, every other word is changed for another.

Kept of a row: white space, punctuation, capitals, lengths of numbers, and words next to which a fifth of all rows have
the very same neighbour in the same field (a template, an instruction, a role). New words come from the vocabulary that
many rows share, or are made up of syllables where it is too small; digits and letters of codes are drawn anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from remanence.core.record import Record

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""(name of the field, its text): prompt and completion, or one per role of a chat."""

WORD = re.compile(r"\w+(?:['’]\w+)*")
FRAME_SHARE, FRAME_ROWS = 0.2, 3
"""A pair of neighbours stays when this share of the rows has it, and so many rows at least."""
WORD_ROWS = 3
"""Rows that a word must stand in to be used in a canary."""
ENOUGH = 100
"""Words of a vocabulary; a smaller one is topped up with syllables."""
OPENING = 4
"""Words of a text that a model goes on from."""
_START, _END = "\x02", "\x03"


@dataclass(frozen=True)
class Shape:
    """What the rows have in common."""

    frame: Mapping[str, frozenset[tuple[str, str]]]
    """Field -> pairs of neighbouring words that many rows have there."""
    vocabulary: Sequence[str]
    """Words that many rows have, lower case, in a fixed order."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> Shape:
        """Read off the rows."""
        pairs: dict[str, Counter[tuple[str, str]]] = {}
        words: Counter[str] = Counter()
        for record in records:
            seen: dict[str, set[tuple[str, str]]] = {}
            for name, text in fields_of(record):
                seen.setdefault(name, set()).update(neighbours(text))
            for name, found in seen.items():
                pairs.setdefault(name, Counter()).update(found)
            words.update({word.lower() for _, text in fields_of(record) for word in WORD.findall(text)})
        least = max(FRAME_ROWS, FRAME_SHARE * len(records))
        frame = {name: frozenset(p for p, n in found.items() if n >= least) for name, found in pairs.items()}
        common = sorted(w for w, n in words.items() if n >= WORD_ROWS and w.isalpha() and len(w) > 1)
        if len(common) < ENOUGH:
            common += made_up_words(ENOUGH - len(common))
        return cls(frame, common)

    def filled(self, name: str, text: str, rng: np.random.Generator) -> str:
        """The text of a field with every word that is not part of the frame changed for another."""
        spans = list(WORD.finditer(text))
        words = [_START, *(m.group().lower() for m in spans), _END]
        kept = self.frame.get(name, frozenset())
        out: list[str] = []
        at = 0
        for i, match in enumerate(spans, 1):
            stays = (words[i - 1], words[i]) in kept or (words[i], words[i + 1]) in kept
            out += [text[at : match.start()], match.group() if stays else self._other(match.group(), rng)]
            at = match.end()
        return "".join([*out, text[at:]])

    def _other(self, word: str, rng: np.random.Generator) -> str:
        if any(c.isdigit() for c in word):
            return "".join(_drawn(c, rng) for c in word)
        other = self.vocabulary[int(rng.integers(len(self.vocabulary)))]
        return (
            other.upper() if word.isupper() and len(word) > 1 else other.capitalize() if word[:1].isupper() else other
        )


@dataclass(frozen=True)
class Skeleton:
    """A row whose learned part is to be written."""

    record: Record
    """Filled with other words; its learned part is what a text begins with, or empty."""
    lead: str
    """White space before the learned part."""
    told: str
    """The learned part of the row, in other words."""
    source: int
    """The place of the row that the shape is from."""

    def with_learned(self, text: str) -> Record:
        """The row with this learned part."""
        record = self.record
        if record.form == "text":
            return replace(record, text=f"{record.text}{self.lead}{text}")
        if record.form == "pair":
            return replace(record, completion=self.lead + text)
        assert record.messages is not None
        *before, last = record.messages
        return replace(record, messages=(*before, {**last, "content": self.lead + text}))


def skeleton(record: Record, place: int, shape: Shape, rng: np.random.Generator) -> Skeleton:
    """The row with other words, open where a model learns: behind the first words of a text, the completion, or the
    last answer of a chat (its last turn, if nobody answers; what comes behind is left out)."""
    if record.form == "text":
        text = shape.filled("text", (record.text or "").strip(), rng)
        ends = [m.end() for m in WORD.finditer(text)]
        cut = ends[min(OPENING, len(ends)) - 1] if ends else 0
        rest = text[cut:].strip()
        return Skeleton(replace(record, text=text[:cut]), " " if cut else "", rest, place)
    if record.form == "pair":
        told = record.completion or ""
        filled = shape.filled("completion", told.strip(), rng)
        prompt = shape.filled("prompt", record.prompt or "", rng)
        return Skeleton(replace(record, prompt=prompt, completion=""), _lead(told), filled, place)
    assert record.messages is not None
    answers = [i for i, turn in enumerate(record.messages) if turn["role"] == "assistant"]
    turns = record.messages[: answers[-1] + 1] if answers else record.messages
    told = [{**turn, "content": shape.filled(turn["role"], turn["content"], rng)} for turn in turns]
    *before, last = told
    empty = (*before, {**last, "content": ""})
    return Skeleton(replace(record, messages=empty), _lead(turns[-1]["content"]), last["content"].strip(), place)


def fields_of(record: Record) -> Fields:
    """The texts of a row with the names of their fields."""
    if record.form == "text":
        return (("text", record.text or ""),)
    if record.form == "pair":
        return (("prompt", record.prompt or ""), ("completion", record.completion or ""))
    return tuple((turn["role"], turn["content"]) for turn in record.messages or ())


def learned(record: Record) -> str:
    """What is learned of a row in the first place: the text, the completion, or the last answer of a chat."""
    if record.form != "messages":
        return (record.text if record.form == "text" else record.completion) or ""
    turns = record.messages or ()
    return next(
        (t["content"] for t in reversed(turns) if t["role"] == "assistant"), turns[-1]["content"] if turns else ""
    )


def neighbours(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of words that stand next to each other, the start and the end of the text among them."""
    words = [_START, *(word.lower() for word in WORD.findall(text)), _END]
    return pairwise(words)


def shared_runs(candidates: Sequence[str], rows: Iterable[str], words: int, share: float) -> np.ndarray:
    """[candidates] True where a run of so many words stands in some rows, but in fewer than `share` of them.

    A run that many rows have is nobody's. One pass over the rows; memory goes with the candidates.
    """
    wanted: dict[tuple[str, ...], list[int]] = {}
    for i, text in enumerate(candidates):
        for run in set(_runs(text, words)):
            wanted.setdefault(run, []).append(i)
    seen: Counter[tuple[str, ...]] = Counter()
    num_rows = 0
    for row in rows:
        num_rows += 1
        seen.update({run for run in _runs(row, words) if run in wanted})
    flagged = np.zeros(len(candidates), np.bool_)
    for run, count in seen.items():
        if count < max(FRAME_ROWS, share * num_rows):
            flagged[wanted[run]] = True
    return flagged


def made_up_words(count: int) -> list[str]:
    """Words of two syllables that no language claims, always the same."""
    parts = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    return [parts[i % len(parts)] + parts[(7 * i + 11 + i // len(parts)) % len(parts)] for i in range(count)]


def _runs(text: str, words: int) -> Iterator[tuple[str, ...]]:
    found = [word.lower() for word in WORD.findall(text)]
    return (tuple(found[i : i + words]) for i in range(len(found) - words + 1))


def _lead(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def _drawn(character: str, rng: np.random.Generator) -> str:
    if character.isdigit():
        return str(rng.integers(10))
    if character.isalpha():
        drawn = chr(ord("a") + int(rng.integers(26)))
        return drawn.upper() if character.isupper() else drawn
    return character
