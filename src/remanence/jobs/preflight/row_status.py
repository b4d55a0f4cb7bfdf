"""What happens to each row: passed whole, truncated, split over sequences, or left out; and how much of it is learned.

Rows are searched by their token ids among the collated sequences, so nothing is assumed from the trainer's settings.
Token ids are encoded as the characters of one long string, so that a substring search finds them quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.core.table import IntsT, Rendered
from remanence.jobs.preflight.sequences import CollatedSequence

SEPARATOR = "\0"
"""Stands between sequences; token id i is character i + 1."""


class RowStatus(NamedTuple):
    """What happens to one row."""

    id: str
    tokens: int
    """Number of tokens of the whole row, before truncation."""
    fed: int
    """How many of these reach the model."""
    learned: int
    """How many of these carry loss and can be predicted."""
    lost: int
    """Tokens that the row alone would teach and that are not learned: truncated, masked, or without context."""
    parts: int
    """Number of pieces in which it is passed to the model; 0 = not at all."""


class TokenIndex:
    """All collated sequences, searchable by token ids."""

    def __init__(self, sequences: Sequence[CollatedSequence], crosses_rows: bool) -> None:
        """`crosses_rows`: packs are filled without regard to row boundaries, so a row may stand anywhere in one."""
        self.crosses_rows = crosses_rows
        self.offset_of: dict[str, int] = {}
        parts: list[str] = []
        learned: list[NDArray[np.bool_]] = []
        self.longest = offset = 0
        for sequence in sequences:
            ends = np.cumsum(sequence.lengths)[:-1]
            for ids, mask in zip(np.split(sequence.ids, ends), np.split(sequence.predicted, ends), strict=True):
                text = as_text(ids)
                self.offset_of.setdefault(text, offset)
                parts.append(text)
                learned.append(np.append(mask, False))
                offset += len(text) + 1
                self.longest = max(self.longest, len(text))
        self.text = SEPARATOR.join([*parts, ""])
        self.learned = np.concatenate(learned) if learned else np.zeros(0, np.bool_)

    def find(self, text: str) -> int | None:
        """Offset of these tokens: as a piece of their own, or anywhere if packs cross row boundaries."""
        if not self.crosses_rows:
            return self.offset_of.get(text)
        offset = self.text.find(text) if text else -1
        return None if offset < 0 else offset

    def num_learned(self, offset: int, size: int) -> int:
        """How many of `size` tokens from this offset on carry loss."""
        return int(self.learned[offset : offset + size].sum())

    def cover(self, text: str) -> list[tuple[int, int]]:
        """(offset, tokens) of the fewest stretches that make up a text, in order; [] if one is missing.

        Greedy and optimal: every part of an indexed stretch is indexed too, so the longest match is never worse.
        """
        stretches: list[tuple[int, int]] = []
        at = 0
        while at < len(text):
            low, high = 0, len(text) - at
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if text[at : at + middle] in self.text else (low, middle - 1)
            if not low:
                return []
            stretches.append((self.text.find(text[at : at + low]), low))
            at += low
        return stretches


def as_text(ids: IntsT) -> str:
    """Token ids as a string of the same length."""
    return (ids.astype("<u4") + 1).tobytes().decode("utf-32-le", "surrogatepass")


def row_status(id: str, row: Rendered, index: TokenIndex, cut_lengths: Sequence[int] = ()) -> RowStatus:
    """The status of a row, rendered without truncation; `cut_lengths`: lengths to which rows may have been cut."""
    pieces = _pieces(as_text(row.ids), index, cut_lengths)
    learned = sum(index.num_learned(*piece) for piece in pieces)
    lost = max(0, int(row.scored.sum()) - learned)
    return RowStatus(id, row.ids.size, sum(size for _, size in pieces), learned, lost, len(pieces))


def _pieces(text: str, index: TokenIndex, cut_lengths: Sequence[int]) -> list[tuple[int, int]]:
    """(offset, tokens) of the pieces in which a row is passed to the model; [] = in none."""
    size, whole = len(text), index.find(text)
    if whole is not None:
        return [(whole, size)]
    if index.crosses_rows:
        stretches = index.cover(text)
        most = 1 + -(-size // max(1, index.longest))  # more pieces are chance matches of short stretches
        return stretches if len(stretches) <= most else []
    for length in sorted({n for n in (*cut_lengths, index.longest) if 0 < n < size}, reverse=True):
        chunks = [text[at : at + length] for at in range(0, size, length)]
        offsets = [index.find(chunk) for chunk in chunks]
        found = [(offset, len(chunk)) for offset, chunk in zip(offsets, chunks, strict=True) if offset is not None]
        if len(found) == len(chunks):
            return found
        for start in (0, size - length):
            offset = index.find(text[start : start + length])
            if offset is not None:
                return [(offset, length)]
    return []
