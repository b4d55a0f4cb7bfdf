"""What becomes of each row: fed whole, cut, split over sequences, or left out; and how much of it is learned.

Rows are looked up by their token ids among the sequences fed, so nothing is taken from the trainer's settings on faith.
Token ids are written as the letters of one long string, in which a search runs at the speed of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.table import IntsT, Rendered
from remanence.jobs.preflight.fed import Fed

APART = "\0"
"""Stands between sequences; token id i is letter i + 1."""


class Fate(NamedTuple):
    """What becomes of one row."""

    id: str
    tokens: int
    """Of the whole row, before anything is cut."""
    fed: int
    """Of these, how many reach the model."""
    learned: int
    """Of these, how many carry loss and can be predicted."""
    lost: int
    """Tokens that the row by itself would teach, and that are not learned: cut off, masked, or without a past."""
    parts: int
    """In how many pieces it is fed; 0 = not at all."""


class Haystack:
    """All sequences fed, to be searched by token ids."""

    def __init__(self, sequences: Sequence[Fed], whole_packs: bool) -> None:
        """`whole_packs`: sequences are filled without regard to rows, so a row may stand anywhere in one."""
        self.whole_packs = whole_packs
        self.pieces: dict[str, int] = {}
        parts: list[str] = []
        learned: list[NDArray[np.bool_]] = []
        self.longest = at = 0
        for one in sequences:
            ends = np.cumsum(one.lengths)[:-1]
            for ids, mask in zip(np.split(one.ids, ends), np.split(_predicted(one), ends), strict=True):
                text = letters(ids)
                self.pieces.setdefault(text, at)
                parts.append(text)
                learned.append(np.append(mask, False))
                at += len(text) + 1
                self.longest = max(self.longest, len(text))
        self.text = APART.join([*parts, ""])
        self.learned = np.concatenate(learned) if learned else np.zeros(0, np.bool_)

    def find(self, text: str) -> int | None:
        """Where these tokens stand: as a piece of their own, or anywhere if packs are filled without regard to rows."""
        if not self.whole_packs:
            return self.pieces.get(text)
        place = self.text.find(text) if text else -1
        return None if place < 0 else place

    def num_learned(self, place: int, size: int) -> int:
        """Of the tokens from a place on, how many carry loss."""
        return int(self.learned[place : place + size].sum())

    def cover(self, text: str) -> list[tuple[int, int]]:
        """(place, tokens) of the fewest stretches that make up a text, in order; [] if one is missing.

        Any part of what stands somewhere stands there too, so taking the longest each time takes the fewest.
        """
        found: list[tuple[int, int]] = []
        at = 0
        while at < len(text):
            low, high = 0, len(text) - at
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if text[at : at + middle] in self.text else (low, middle - 1)
            if not low:
                return []
            found.append((self.text.find(text[at : at + low]), low))
            at += low
        return found


def letters(ids: IntsT) -> str:
    """Token ids as a string of the same length."""
    return (ids.astype("<u4") + 1).tobytes().decode("utf-32-le", "surrogatepass")


def fate(id: str, row: Rendered, hay: Haystack, limits: Sequence[int] = ()) -> Fate:
    """What becomes of a row, rendered without any cut; `limits` are lengths at which rows may have been cut."""
    found = _parts(letters(row.ids), hay, limits)
    learned = sum(hay.num_learned(*one) for one in found)
    lost = max(0, int(row.scored.sum()) - learned)
    return Fate(id, row.ids.size, sum(size for _, size in found), learned, lost, len(found))


def _parts(text: str, hay: Haystack, limits: Sequence[int]) -> list[tuple[int, int]]:
    """(place, tokens) of the pieces in which a row is fed; [] = in none."""
    size, whole = len(text), hay.find(text)
    if whole is not None:
        return [(whole, size)]
    if hay.whole_packs:
        found = hay.cover(text)
        most = 1 + -(-size // max(1, hay.longest))  # more pieces are chance hits of short stretches
        return found if len(found) <= most else []
    for limit in sorted({n for n in (*limits, hay.longest) if 0 < n < size}, reverse=True):
        chunks = [text[at : at + limit] for at in range(0, size, limit)]
        places = [hay.find(chunk) for chunk in chunks]
        kept = [(place, len(chunk)) for place, chunk in zip(places, chunks, strict=True) if place is not None]
        if len(kept) == len(chunks):
            return kept
        for start in (0, size - limit):
            place = hay.find(text[start : start + limit])
            if place is not None:
                return [(place, limit)]
    return []


def _predicted(one: Fed) -> NDArray[np.bool_]:
    mask = one.learned.copy()
    mask[: one.first] = False
    return mask
