"""Similarity of a generated text to a reference, for copies that are not verbatim.

`bleu4` (Papineni et al. 2002) counts shared word sequences of 1 to 4; `lev_similarity` counts the edits between the
two. Both are 1 for equal texts. BLEU says little on fewer than 8 tokens, and both are high between any two texts of a
narrow kind: always subtract the similarity of a model without the text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

Tokens: TypeAlias = Sequence[Hashable]
Smoothing: TypeAlias = Literal["none", "add-one"]

APPROXIMATE = 0.75
"""BLEU above which Ippolito et al. 2023 (arXiv 2210.17546) call a continuation approximately memorized."""


def bleu4(pred: Tokens | str, ref: Tokens | str, smoothing: Smoothing = "none") -> float:
    """BLEU of one prediction against one reference, in [0, 1]; strings are split into words.

    Geometric mean of the clipped n-gram precisions for n = 1..4, times exp(1 - len(ref)/len(pred)) if pred is shorter.
    With `none`, no shared 4-gram means 0. `add-one` adds 1 to matches and totals for n >= 2 (Lin & Och 2004; NLTK's
    method2). Either text empty: 1 if both are, else 0.
    """
    words, truth = _words(pred), _words(ref)
    if not words or not truth:
        return float(len(words) == len(truth))
    logs = 0.0
    for n in range(1, 5):
        grams, allowed = _grams(words, n), _grams(truth, n)
        matches, total = sum((grams & allowed).values()), sum(grams.values())
        if smoothing == "add-one" and n > 1:
            matches, total = matches + 1, total + 1
        if matches == 0:
            return 0.0
        logs += math.log(matches / total) / 4
    return math.exp(logs + min(0.0, 1 - len(truth) / len(words)))


def approx_memorized(pred: Tokens | str, ref: Tokens | str, bleu_threshold: float = APPROXIMATE) -> bool:
    """Whether the prediction is the reference but for small edits: unsmoothed BLEU above the threshold."""
    return bleu4(pred, ref) > bleu_threshold


def lev_similarity(a: Tokens | str, b: Tokens | str) -> float:
    """1 - edit_distance / length of the longer, in [0, 1]; strings by character. Two empty texts are equal: 1."""
    longest = max(len(a), len(b))
    return 1 - edit_distance(a, b) / longest if longest else 1.0


def edit_distance(a: Tokens | str, b: Tokens | str) -> int:
    """Insertions, deletions and replacements that turn a into b (Levenshtein).

    Bit-parallel (Hyyrö 2003): a column of the table is one Python integer, so a step costs len(a)/64 words.
    """
    if not a:
        return len(b)
    where: dict[Hashable, int] = {}
    for i, token in enumerate(a):
        where[token] = where.get(token, 0) | 1 << i
    full, last = (1 << len(a)) - 1, 1 << len(a) - 1
    up, down, distance = full, 0, len(a)  # vertical steps of +1 and -1 in the current column
    for token in b:
        match = where.get(token, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right, left = down | ~(diagonal | up) & full, up & diagonal  # horizontal steps of +1 and -1
        distance += bool(right & last) - bool(left & last)
        right, left = (right << 1 | 1) & full, left << 1 & full
        up, down = left | ~(diagonal | right) & full, right & diagonal
    return distance


def _words(text: Tokens | str) -> Tokens:
    return text.split() if isinstance(text, str) else text


def _grams(words: Tokens, n: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
