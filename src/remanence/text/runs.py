"""Word runs shared by a query and a record: position, length, and the records that contain them.

A run is maximal when no run of the same text contains it; those are the only ones that need to be told.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Runs(NamedTuple):
    """K runs of words that stand in a query and in a record, by text and start; none lies inside another."""

    texts: NDArray[np.int64]
    """[K] which text of the query."""
    starts: NDArray[np.int64]
    """[K] first word, counted from the beginning of its text: word `words.offsets[text] + start` of the batch."""
    lengths: NDArray[np.int64]
    """[K] words; as many as agree, so a longer run does not stand in any record."""
    num_records: NDArray[np.int64]
    """[K] records that hold it; copies of a record (same words from end to end) count once."""
    records: NDArray[np.int64]
    """[K] one of them (the first of its copies); `RunIndex.places` has the others."""
    record_starts: NDArray[np.int64]
    """[K] where the run begins there, in words."""


class Places(NamedTuple):
    """Records that hold a run, by run and record."""

    runs: NDArray[np.int64]
    """[P] which run, as a place in `Runs`."""
    records: NDArray[np.int64]
    """[P] a record that holds it (the first of its copies), each once."""
    starts: NDArray[np.int64]
    """[P] where it begins there, in words; one of the places if it stands there twice."""


def maximal(lengths: NDArray[np.integer[Any]], offsets: NDArray[np.int64], min_words: int) -> NDArray[np.int64]:
    """The words [K] where a run of at least `min_words` begins that does not lie inside the run one word before.

    From match lengths [W] of N texts. Runs that begin earlier end no later, so no other run needs to be looked at.
    """
    before = np.zeros(lengths.size, np.int64)
    before[1:] = lengths[:-1]
    before[offsets[:-1][offsets[:-1] < lengths.size]] = 0
    return np.flatnonzero((lengths >= min_words) & (before <= lengths))
