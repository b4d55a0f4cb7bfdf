"""Which of a million rows are the same, from 8 bytes for each.

Rows, texts and ids are compared by 64-bit hashes (BLAKE2b). Of a million rows two different ones share a hash with
probability 3 in 10^8; of a hundred million, with 3 in 10^4. Equal ids are an error, so those are confirmed by reading.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from remanence.core.read import FileRecords, unique
from remanence.core.record import Record
from remanence.engine.rows import TEMPLATE_COLUMNS
from remanence.text.spans import normalise

Hashes = NDArray[np.uint64]

PART = 1 << 16
"""Rows that are sorted at once, on average."""


def hash_of(text: str) -> int:
    """64 bits of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def content_of(record: Record) -> str:
    """All that a row reads, tools of a chat included; equal just where `rows.first_places` says that rows are."""
    turns = [sorted(turn.items()) for turn in record.messages or ()]
    chat = None if record.messages is None else [turns, *(record.meta.get(column) for column in TEMPLATE_COLUMNS)]
    return repr((record.text, record.prompt, record.completion, chat))


class RowHashes:
    """Three hashes per row, 24 bytes: of its id, of all it reads, and of its words, compared as copies are."""

    def __init__(self) -> None:
        self._ids, self._contents, self._words = array("Q"), array("Q"), array("Q")

    def add(self, record: Record) -> None:
        """One more row."""
        self._ids.append(hash_of(record.id))
        self._contents.append(hash_of(content_of(record)))
        self._words.append(hash_of(normalise(record.plain)))

    def take_ids(self) -> Hashes:
        """[rows] hashes of the ids, handed over."""
        taken, self._ids = self._ids, array("Q")
        return np.frombuffer(taken, np.uint64)

    def take_contents(self) -> Hashes:
        """[rows] hashes of what the rows read, handed over."""
        taken, self._contents = self._contents, array("Q")
        return np.frombuffer(taken, np.uint64)

    def take_words(self) -> Hashes:
        """[rows] hashes of their words, handed over."""
        taken, self._words = self._words, array("Q")
        return np.frombuffer(taken, np.uint64)


def twins(hash_N: Hashes, part: int = PART) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """([N] place of the first row with the same hash, [N] rows with that hash), sorted a range of hashes at a time."""
    first, count = np.zeros(hash_N.size, np.int32), np.zeros(hash_N.size, np.int32)
    bits = max(1, (hash_N.size // part).bit_length())
    ranges = hash_N >> np.uint64(64 - bits)
    for which in range(1 << bits):
        at = np.flatnonzero(ranges == which)
        _, index, inverse, counts = np.unique(hash_N[at], return_index=True, return_inverse=True, return_counts=True)
        first[at], count[at] = at[index[inverse]], counts[inverse]
    return first, count


def among(asked_H: Hashes, hash_N: Hashes, part: int = PART) -> NDArray[np.bool_]:
    """[H] whether each hash is one of the N."""
    found = np.zeros(asked_H.size, np.bool_)
    for at in range(0, hash_N.size, part):
        found |= np.isin(asked_H, hash_N[at : at + part])
    return found


def refuse_equal_ids(records: Iterable[Record], hash_N: Hashes) -> None:
    """Raise `RemanenceError` when two rows of a file have the same id: read again to be sure, and to say where."""
    if not isinstance(records, FileRecords) or records.compared:
        return  # compared when they were read
    first, count = twins(hash_N)
    del first
    if (count > 1).any():
        suspects = set(hash_N[count > 1].tolist())
        for _ in unique(placed for placed in records.placed() if hash_of(placed[1].id) in suspects):
            pass
