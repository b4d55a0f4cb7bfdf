"""The longest common subsequence of two texts: words in the same order, with gaps.

ROUGE-L (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL) is this length over the length of one
of the two. The classic table, one row of it at a time (Hirschberg 1975).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def longest_common_subsequence(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Length of it; 0 when the two share nothing. Time len(a) * len(b)."""
    number: dict[Hashable, int] = {}
    ids = [np.array([number.setdefault(word, len(number)) for word in text], np.int64) for text in (a, b)]
    return int(_lcs(*ids))


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _lcs(a: NDArray[Any], b: NDArray[Any]) -> int:
    best = np.zeros(b.size + 1, np.int64)
    for i in range(a.size):
        corner = 0
        for j in range(b.size):
            above = best[j + 1]
            best[j + 1] = corner + 1 if a[i] == b[j] else max(above, best[j])
            corner = above
    return best[b.size]
