"""What chance looks like: how much of a training corpus do texts repeat that were never part of it?

Held-out texts go through the identical pipeline, whole and in pieces of the lengths that matter. Those of which half
stands in one training record are quotations, not chance: they are counted and left out. A text is held against pieces
of about its own length or more. The realised false-alarm rate is measured crosswise: one half of the held-out texts
sets the threshold, the other half is asked, then the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from remanence.measure.plagiarism.evidence import Batch, evidence_of, seeds_of_batch
from remanence.measure.plagiarism.said import Said
from remanence.stats.calibration import ByLength, halves, p_values_by_length
from remanence.stats.rates import Rate
from remanence.text.background import Background
from remanence.text.nulls import QUOTED, contained, first_words, pieces_of, windows
from remanence.text.run_index import RunIndex
from remanence.text.words import Words, words_of

if TYPE_CHECKING:
    from remanence.measure.plagiarism.index import PlagiarismIndex

Scores = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTHS = (10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)
"""Pieces of so many words, a quarter longer each; a longer text is held against those of the last length."""
STEP = 1.25
WEIGHTS = {"verbatim": 0.8, "paraphrase": 0.2}
"""How the kinds share alpha, so that a held-out text is flagged as either with probability alpha at most."""
PIECES = 4_000
"""At most so many of each length."""
ALIGNED = 600
"""At most so many of each length go through the slower alignment."""
LEAST = 1.0
"""Nulls that must lie above a threshold; with fewer than ten the run says that it rests on few."""
FEW, NEARLY = 200, 2 / 3
"""Fewer pieces of a length than this are filled up with pieces nearly as long."""
WHOLE = 0
"""The length under which whole held-out texts (cut after the longest length) stand."""


@dataclass(frozen=True)
class Null:
    """Scores of held-out pieces of one length."""

    scores: Scores
    """[P] bits."""
    texts: Ints
    """[P] which held-out text each is of."""
    num_words: Ints
    """[P]"""


@dataclass(frozen=True)
class Chance:
    """What held-out texts reach, by kind (verbatim, paraphrase) and length."""

    nulls: Mapping[str, Mapping[int, Null]]
    num_heldout: int
    num_quoting: int
    """Held-out texts that quote a training record, left out of everything."""
    quoting: NDArray[np.bool_]
    """[num_heldout]"""
    common: RunIndex
    """The phrases of held-out texts; those that quote stand there without words."""
    seed: int = 0

    @classmethod
    def of(
        cls,
        index: PlagiarismIndex,
        heldout: Sequence[Said],
        lengths: Sequence[int] = LENGTHS,
        seed: int = 0,
        pieces: int = PIECES,
        aligned: int = ALIGNED,
        background: Background | None = None,
    ) -> Chance:
        """Ask the index about held-out texts, which have their numbers as `Said.heldout`.

        `background` must be the one that `match` will be given; it is asked once, about `words_of` all texts.
        ValueError when there is no text that has words.
        """
        words = words_of([one.text for one in heldout])
        if not words.keys.size:
            raise ValueError("there is not one held-out text with words, so nothing is known of chance")
        bits = None if background is None else background.left_out_bits(words)
        nobody = np.full(len(heldout), -1, np.int64)
        whole = first_words(words, max(lengths))
        plain = Batch(whole, words_of([""]), nobody, nobody, nobody)
        _, corpus, seeds = seeds_of_batch(index, plain, np.ones((whole.keys.size, 1)))
        quoting: NDArray[np.bool_] = np.asarray(contained(whole, corpus, seeds) >= QUOTED)
        common = RunIndex.build("" if out else one.text for one, out in zip(heldout, quoting, strict=True))
        rng = np.random.default_rng(seed)
        nulls: dict[str, dict[int, Null]] = {"verbatim": {}, "paraphrase": {}}
        prompts = words_of([one.prompt for one in heldout])
        has_prompt = np.array([bool(one.prompt) for one in heldout])
        for length in (WHOLE, *lengths):
            of: Ints = np.arange(len(heldout))
            cut, of = (whole, of) if length == WHOLE else windows(whole, length)
            shorter = length / STEP if length > LENGTHS[0] else 0.0
            usable = np.flatnonzero(~quoting[of] & (np.diff(cut.offsets) > 0))
            usable = usable[_long_enough(np.diff(cut.offsets)[usable], shorter)]
            if not usable.size:  # nothing is known of chance at this length, and its threshold is refused
                for kind in nulls.values():
                    kind[length] = Null(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
                continue
            keep = np.sort(rng.choice(usable, min(pieces, usable.size), replace=False))
            part, of = _some(cut, keep), of[keep]
            batch = Batch(part, prompts, np.where(has_prompt[of], of, -1), np.full(of.size, -1, np.int64), of)
            found = evidence_of(index, batch, common, None if bits is None else bits[_places(words, part, of)])
            num_words = np.diff(part.offsets)
            nulls["verbatim"][length] = Null(found.best, of, num_words)
            few = np.sort(rng.choice(of.size, min(aligned, of.size), replace=False))
            masked = found.from_prompt | found.common
            texts = [remaining(heldout[int(of[i])].text, part, i, masked, piece=True) for i in few.tolist()]
            best = np.array([a[0].passage.bits if a else 0.0 for a in index.align(texts)], np.float64)
            nulls["paraphrase"][length] = Null(best, of[few], num_words[few])
        return cls(nulls, len(heldout), int(quoting.sum()), quoting, common, seed)

    def limit(self, kind: str, alpha: float, num_words: NDArray[np.integer[Any]]) -> Scores:
        """[N] the score that texts of so many words must exceed; +inf where too few held-out texts set one."""
        return self._limits(kind, alpha).of(num_words)

    def p_values(self, kind: str, scores: Scores, num_words: NDArray[np.integer[Any]]) -> Scores:
        """[N] share of the held-out pieces that reach as much, over the kind's weight; lower = more memorized.

        At most alpha exactly where `limit` is exceeded.
        """
        nulls = {length: null.scores for length, null in self._pieces(kind).items()}
        return np.minimum(1.0, p_values_by_length(scores, num_words, nulls) / WEIGHTS[kind])

    def refused(self, kind: str, alpha: float) -> list[str]:
        """Why lengths have no threshold at this alpha."""
        limits = self._limits(kind, alpha)
        told = zip(limits.lengths, limits.thresholds, strict=True)
        return [f"texts of {length} words: {one.reason}" for length, one in told if one.score is None]

    def few(self, kind: str, alpha: float) -> bool:
        """Whether a threshold rests on fewer than ten held-out pieces above it."""
        return any(null.scores.size * alpha * WEIGHTS[kind] < 10 for null in self._pieces(kind).values())

    def realised(self, kind: str, alpha: float) -> Rate:
        """How many whole held-out texts are flagged by the other half's thresholds; it should be alpha or less.

        Texts whose other half is empty are not counted.
        """
        null = self.nulls[kind][WHOLE]
        first = halves(np.arange(self.num_heldout), self.seed)
        hits = asked = 0
        for half in (True, False):
            others = {n: one.scores[first[one.texts] == half] for n, one in self._pieces(kind).items()}
            others = {n: scores for n, scores in others.items() if scores.size}
            if not others:
                continue
            limits = ByLength.fit(others, alpha * WEIGHTS[kind], least=0)
            ask = first[null.texts] != half
            asked += int(ask.sum())
            hits += int((null.scores[ask] > limits.of(null.num_words[ask])).sum())
        return Rate.counted(hits, asked)

    def lines(self, alphas: Sequence[float]) -> list[dict[str, Any]]:
        """One line per kind, alpha and length, for `calibration.parquet`."""
        found: list[dict[str, Any]] = []
        for kind in self.nulls:
            for alpha in alphas:
                rate = self.realised(kind, alpha)
                limits = self._limits(kind, alpha)
                for length, one in zip(limits.lengths, limits.thresholds, strict=True):
                    line = {"kind": kind, "alpha": alpha, "num_words": length, "num_null": one.num_null}
                    line |= {
                        "bits": one.score,
                        "reason": one.reason or None,
                        "few": one.num_null * alpha * WEIGHTS[kind] < 10,
                    }
                    line |= {"realised_hits": rate.hits, "realised_n": rate.n}
                    found.append(line | {"realised_low": rate.low, "realised_high": rate.high})
        return found

    def _pieces(self, kind: str) -> dict[int, Null]:
        return {length: null for length, null in self.nulls[kind].items() if length != WHOLE}

    def _limits(self, kind: str, alpha: float) -> ByLength:
        pieces = {n: null.scores for n, null in self._pieces(kind).items()}
        return ByLength.fit(pieces, alpha * WEIGHTS[kind], LEAST)


def lengths_for(num_words: NDArray[np.integer[Any]]) -> tuple[int, ...]:
    """The lengths, a quarter longer each from 10 words on, that texts [N] of so many words are held against."""
    longest = int(num_words.max()) if num_words.size else 0
    grid: list[int] = list(LENGTHS)
    while grid[-1] < longest:
        grid.append(round(STEP * grid[-1]))
    which = np.unique(np.searchsorted(grid, num_words)).tolist()
    return tuple(grid[i] for i in which) or LENGTHS[:1]


def e_limit(alpha: float, num_words: NDArray[np.integer[Any]], num_corpus: int) -> Scores:
    """[N] the bits at which the E-value of a text falls to `alpha`: the threshold where nothing is held out."""
    return np.log2(np.maximum(1, num_words)) + math.log2(max(1, num_corpus)) - math.log2(alpha)


def remaining(text: str, words: Words, number: int, masked: NDArray[np.bool_], *, piece: bool = False) -> str:
    """Text `number` of a batch with its masked words made blank, of the same length; or only the piece of it."""
    here = range(int(words.offsets[number]), int(words.offsets[number + 1]))
    chars = list(text)
    for word in here:
        if masked[word]:
            chars[words.starts[word] : words.ends[word]] = " " * int(words.ends[word] - words.starts[word])
    if not piece or not here:
        return "".join(chars)
    return "".join(chars[words.starts[here[0]] : words.ends[here[-1]]])


def _long_enough(num_words: NDArray[np.integer[Any]], shorter: float) -> NDArray[np.bool_]:
    """[P] may a piece speak for texts of more than `shorter` words? If it has more itself.

    Where only few have, the longest that have nearly as many may too. A short text agrees with less, so without this
    texts of 50 words are flagged in vain 29 times in a hundred instead of once where held-out texts have 12 words.
    """
    long = num_words > shorter
    if long.sum() < FEW:
        longest = np.argsort(-num_words, kind="stable")[:FEW]
        long[longest] = num_words[longest] > NEARLY * shorter
    return long


def _places(words: Words, part: Words, of: Ints) -> Ints:
    """[P] where the words of the pieces stand among those of the whole texts; piece k is of text of[k]."""
    longest = int(words.ends.max()) + 1
    whole = np.repeat(np.arange(words.offsets.size - 1), np.diff(words.offsets)) * longest + words.starts
    return np.searchsorted(whole, np.repeat(of, np.diff(part.offsets)) * longest + part.starts)


def _some(words: Words, keep: Ints) -> Words:
    return pieces_of(words, keep, np.zeros(keep.size, np.int64), np.diff(words.offsets)[keep])
