"""Null calibration: the scores of held-out texts, which set the detector's thresholds and p-values.

Held-out texts go through the identical pipeline, whole and cut to pieces of the lengths of the generated texts. A
held-out text of which half is contained in one training record is a quotation: it is counted and left out. A text is
compared with pieces of about its own length or longer. The false-positive rate is estimated by cross-fitting: one half
of the held-out texts sets the threshold and the other half is tested, then the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.measure.plagiarism.evidence import Batch, evidence_of, seeds_of_batch
from remanence.measure.plagiarism.index import CorpusIndex
from remanence.measure.plagiarism.types import GeneratedText
from remanence.stats.calibration import ByLength, halves, p_values_by_length
from remanence.stats.rates import Rate
from remanence.text.background import Background
from remanence.text.nulls import QUOTED, contained, first_words, pieces_of, windows
from remanence.text.run_index import RunIndex
from remanence.text.words import Words, words_of

Scores = NDArray[np.float64]
Ints = NDArray[np.int64]

LENGTHS = (10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)
"""Lengths of the pieces in words, each a quarter longer; a longer text is compared with pieces of the last length."""
STEP = 1.25
WEIGHTS = {"verbatim": 0.8, "paraphrase": 0.2}
"""Share of alpha for each kind, so that a held-out text is flagged as any kind with probability alpha at most."""
PIECES = 4_000
"""Maximum number of pieces of each length."""
ALIGNED = 600
"""Maximum number of pieces of each length that are aligned, which is slower."""
MIN_ABOVE = 1.0
"""Minimum number of null scores above a threshold; with fewer than ten the run reports that there are few."""
MIN_PIECES, NEARLY = 200, 2 / 3
"""If a length has fewer pieces than `MIN_PIECES`, pieces of at least `NEARLY` that length are added."""
WHOLE_TEXT = 0
"""Key of the whole held-out texts (cut after the longest length) among the lengths."""


@dataclass(frozen=True)
class NullScores:
    """Scores of held-out pieces of one length."""

    scores: Scores
    """[P] bits; higher = more in common with the training corpus."""
    texts: Ints
    """[P] number of the held-out text of each piece."""
    num_words: Ints
    """[P]"""


@dataclass(frozen=True)
class NullCalibration:
    """Scores of held-out texts by kind (verbatim, paraphrase) and length. `NullCalibration.fit` creates one."""

    nulls: Mapping[str, Mapping[int, NullScores]]
    num_heldout: int
    num_quoting: int
    """Number of held-out texts that quote a training record; they are left out."""
    quoting: NDArray[np.bool_]
    """[num_heldout] which held-out texts quote a training record."""
    common: RunIndex
    """Index of the phrases of held-out texts; texts that quote are empty there."""
    seed: int = 0

    @classmethod
    def fit(
        cls,
        index: CorpusIndex,
        heldout: Sequence[GeneratedText],
        lengths: Sequence[int] = LENGTHS,
        seed: int = 0,
        pieces: int = PIECES,
        aligned: int = ALIGNED,
        background: Background | None = None,
    ) -> NullCalibration:
        """Score held-out texts against the index; their numbers are in `GeneratedText.heldout`.

        `background` must be the one that `match` will use; it is called once, on `words_of` all texts. At most `pieces`
        pieces of each length are scored, and `aligned` of them aligned. ValueError if no text has words.
        """
        words = words_of([text.text for text in heldout])
        if not words.keys.size:
            raise ValueError("no held-out text has words, so there is no null calibration")
        bits = None if background is None else background.left_out_bits(words)
        none = np.full(len(heldout), -1, np.int64)
        whole = first_words(words, max(lengths))
        plain = Batch(whole, words_of([""]), none, none, none)
        _, corpus, seeds = seeds_of_batch(index, plain, np.ones((whole.keys.size, 1)))
        quoting: NDArray[np.bool_] = np.asarray(contained(whole, corpus, seeds) >= QUOTED)
        common = RunIndex.build("" if quotes else text.text for text, quotes in zip(heldout, quoting, strict=True))
        rng = np.random.default_rng(seed)
        nulls: dict[str, dict[int, NullScores]] = {"verbatim": {}, "paraphrase": {}}
        prompts = words_of([text.prompt for text in heldout])
        has_prompt = np.array([bool(text.prompt) for text in heldout])
        for length in (WHOLE_TEXT, *lengths):
            all_texts: Ints = np.arange(len(heldout))
            cut, owners = (whole, all_texts) if length == WHOLE_TEXT else windows(whole, length)
            shorter = length / STEP if length > LENGTHS[0] else 0.0
            usable = np.flatnonzero(~quoting[owners] & (np.diff(cut.offsets) > 0))
            usable = usable[_long_enough(np.diff(cut.offsets)[usable], shorter)]
            if not usable.size:  # no null scores of this length, so it has no threshold
                for kind in nulls.values():
                    kind[length] = NullScores(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
                continue
            keep = np.sort(rng.choice(usable, min(pieces, usable.size), replace=False))
            part, owners = _some(cut, keep), owners[keep]
            prompt_numbers = np.where(has_prompt[owners], owners, -1)
            batch = Batch(part, prompts, prompt_numbers, np.full(owners.size, -1, np.int64), owners)
            piece_bits = None if bits is None else bits[_word_positions(words, part, owners)]
            evidence = evidence_of(index, batch, common, piece_bits)
            num_words = np.diff(part.offsets)
            nulls["verbatim"][length] = NullScores(evidence.best, owners, num_words)
            sample = np.sort(rng.choice(owners.size, min(aligned, owners.size), replace=False))
            masked = evidence.from_prompt | evidence.common
            texts = [masked_text(heldout[int(owners[i])].text, part, i, masked, piece=True) for i in sample.tolist()]
            passages = index.align(texts)
            best = np.array([p[0].passage.bits if p else 0.0 for p in passages], np.float64)
            nulls["paraphrase"][length] = NullScores(best, owners[sample], num_words[sample])
        return cls(nulls, len(heldout), int(quoting.sum()), quoting, common, seed)

    def threshold(self, kind: str, alpha: float, num_words: NDArray[np.integer[Any]]) -> Scores:
        """[N] the score that texts of `num_words` [N] words must exceed; +inf if there are too few held-out texts."""
        return self._thresholds(kind, alpha).of(num_words)

    def p_values(self, kind: str, scores: Scores, num_words: NDArray[np.integer[Any]]) -> Scores:
        """[N] share of the held-out pieces that score as high, divided by the kind's weight; lower = more memorized.

        It is at most alpha exactly where `threshold` is exceeded.
        """
        nulls = {length: null.scores for length, null in self._pieces(kind).items()}
        return np.minimum(1.0, p_values_by_length(scores, num_words, nulls) / WEIGHTS[kind])

    def missing_thresholds(self, kind: str, alpha: float) -> list[str]:
        """The lengths without a threshold at this alpha, each with the reason."""
        thresholds = self._thresholds(kind, alpha)
        by_length = zip(thresholds.lengths, thresholds.thresholds, strict=True)
        return [f"texts of {length} words: {each.reason}" for length, each in by_length if each.score is None]

    def rests_on_few(self, kind: str, alpha: float) -> bool:
        """Whether a threshold has fewer than ten held-out pieces above it."""
        return any(null.scores.size * alpha * WEIGHTS[kind] < 10 for null in self._pieces(kind).values())

    def false_positive_rate(self, kind: str, alpha: float) -> Rate:
        """Share of whole held-out texts that the thresholds of the other half flag; it should be alpha or less.

        Texts are not counted if the other half is empty.
        """
        null = self.nulls[kind][WHOLE_TEXT]
        first = halves(np.arange(self.num_heldout), self.seed)
        hits = tested = 0
        for half in (True, False):
            others = {n: piece.scores[first[piece.texts] == half] for n, piece in self._pieces(kind).items()}
            others = {n: scores for n, scores in others.items() if scores.size}
            if not others:
                continue
            thresholds = ByLength.fit(others, alpha * WEIGHTS[kind], least=0)
            test = first[null.texts] != half
            tested += int(test.sum())
            hits += int((null.scores[test] > thresholds.of(null.num_words[test])).sum())
        return Rate.counted(hits, tested)

    def rows(self, alphas: Sequence[float]) -> list[dict[str, Any]]:
        """One row per kind, alpha and length, for `calibration.parquet`."""
        rows: list[dict[str, Any]] = []
        for kind in self.nulls:
            for alpha in alphas:
                rate = self.false_positive_rate(kind, alpha)
                thresholds = self._thresholds(kind, alpha)
                for length, each in zip(thresholds.lengths, thresholds.thresholds, strict=True):
                    row = {"kind": kind, "alpha": alpha, "num_words": length, "num_null": each.num_null}
                    row |= {
                        "bits": each.score,
                        "reason": each.reason or None,
                        "few": each.num_null * alpha * WEIGHTS[kind] < 10,
                    }
                    row |= {"realised_hits": rate.hits, "realised_n": rate.n}
                    rows.append(row | {"realised_low": rate.low, "realised_high": rate.high})
        return rows

    def _pieces(self, kind: str) -> dict[int, NullScores]:
        return {length: null for length, null in self.nulls[kind].items() if length != WHOLE_TEXT}

    def _thresholds(self, kind: str, alpha: float) -> ByLength:
        pieces = {n: null.scores for n, null in self._pieces(kind).items()}
        return ByLength.fit(pieces, alpha * WEIGHTS[kind], MIN_ABOVE)


def lengths_for(num_words: NDArray[np.integer[Any]]) -> tuple[int, ...]:
    """Piece lengths (from 10 words, each a quarter longer) with which texts of `num_words` [N] words are compared."""
    longest = int(num_words.max()) if num_words.size else 0
    grid: list[int] = list(LENGTHS)
    while grid[-1] < longest:
        grid.append(round(STEP * grid[-1]))
    which = np.unique(np.searchsorted(grid, num_words)).tolist()
    return tuple(grid[i] for i in which) or LENGTHS[:1]


def e_value_threshold(alpha: float, num_words: NDArray[np.integer[Any]], num_corpus: int) -> Scores:
    """[N] the bits at which the E-value of a text equals `alpha`: the threshold without held-out texts."""
    return np.log2(np.maximum(1, num_words)) + math.log2(max(1, num_corpus)) - math.log2(alpha)


def masked_text(text: str, words: Words, number: int, masked: NDArray[np.bool_], *, piece: bool = False) -> str:
    """Text `number` of a batch with its masked words replaced by spaces; with `piece` only from first to last word."""
    positions = range(int(words.offsets[number]), int(words.offsets[number + 1]))
    chars = list(text)
    for word in positions:
        if masked[word]:
            chars[words.starts[word] : words.ends[word]] = " " * int(words.ends[word] - words.starts[word])
    if not piece or not positions:
        return "".join(chars)
    return "".join(chars[words.starts[positions[0]] : words.ends[positions[-1]]])


def _long_enough(num_words: NDArray[np.integer[Any]], shorter: float) -> NDArray[np.bool_]:
    """[P] whether a piece is a valid null for texts of more than `shorter` words, that is, has more words itself.

    If only few pieces have, the longest ones with nearly as many words are valid too. Short pieces match less, so
    without this rule 29 % instead of 1 % of 50-word texts are flagged falsely when held-out texts have 12 words.
    """
    long = num_words > shorter
    if long.sum() < MIN_PIECES:
        longest = np.argsort(-num_words, kind="stable")[:MIN_PIECES]
        long[longest] = num_words[longest] > NEARLY * shorter
    return long


def _word_positions(words: Words, part: Words, owners: Ints) -> Ints:
    """[W] position of each word of the pieces among the words of the whole texts; piece k is of text owners[k]."""
    longest = int(words.ends.max()) + 1
    whole = np.repeat(np.arange(words.offsets.size - 1), np.diff(words.offsets)) * longest + words.starts
    return np.searchsorted(whole, np.repeat(owners, np.diff(part.offsets)) * longest + part.starts)


def _some(words: Words, keep: Ints) -> Words:
    return pieces_of(words, keep, np.zeros(keep.size, np.int64), np.diff(words.offsets)[keep])
