"""Text alignment: finds passages of one text that were copied, reworded or shortened from another.

Paper: Sanchez-Perez, Sidorov, Gelbukh 2014, "A Winning Approach to Text Alignment for Text Reuse Detection at PAN
2014", CLEF 2014: seeding, extension, filtering. Departures, each measured in `docs/detector-alignment.md`:

1. A word's weight comes from the two texts and from a corpus (`bags.weigh`), so that a text of one sentence can be
   found and the phrases of a domain weigh little.
2. Two sentences are a seed only if neither has a partner that is much more alike (`bags.near_best`).
3. Words decide where a passage ends, not only sentences (`borders.segment`); their bits are the passage's score.
4. A summary is what only a wide gap holds together: at least two narrow passages in a long stretch of the source.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.text.align_kernels import align_pairs
from remanence.text.prepared import Background, Prepared, background_of, prepare

Kind = Literal["paraphrase", "summary", "verbatim"]
KINDS: tuple[Kind, ...] = ("paraphrase", "summary", "verbatim")
"""Kinds of passages; `Alignments` stores their places in this tuple."""


class Passage(NamedTuple):
    """A passage of the suspicious text and where it comes from: half-open spans of characters."""

    susp_start: int
    susp_end: int
    src_start: int
    src_end: int
    kind: Kind
    bits: float
    """log2 of how much likelier a copy makes the suspicious words than chance; higher = surer."""


class Alignments(NamedTuple):
    """The R passages of P pairs; those of pair p are offsets[p]:offsets[p + 1]."""

    offsets: NDArray[np.int64]
    spans: NDArray[np.int64]
    """[R, 4] characters: suspicious start and end, source start and end."""
    kinds: NDArray[np.int64]
    """[R] places in `KINDS`."""
    bits: NDArray[np.float64]
    """[R] see `Passage`."""

    def passages(self, pair: int) -> list[Passage]:
        """Those of one pair, in the order of the suspicious text."""
        rows = range(int(self.offsets[pair]), int(self.offsets[pair + 1]))
        found = [
            Passage(*map(int, self.spans[r]), KINDS[int(self.kinds[r])], float(self.bits[r]))  # pyright: ignore[reportCallIssue]
            for r in rows
        ]
        return sorted(found, key=lambda p: p[:4])


@dataclass(frozen=True)
class Aligner:
    """Finds reused passages; `fit` it on a corpus of the same kind of text."""

    background: Background = field(repr=False)
    prior: float = 150.0
    """The corpus counts like this many sentences beside those of the two texts."""
    cosine: float = 0.30
    """A seed's sentences are more alike than this; this and the next five are those of the 2015 detector."""
    dice: float = 0.33
    """And share more terms than this."""
    passage_cosine: float = 0.34
    """A passage's summed sentences are more alike than this."""
    gap: int = 4
    """Sentences that may lie between the seeds of a passage."""
    summary_gap: int = 24
    """The same for a summary."""
    summary_ratio: float = 3.0
    """A summary's source is at least this many times longer."""
    near: float = 0.7
    """A seed's cosine is at least this share of the best one of either sentence."""
    summary_whole: float = 0.4
    """A summary that draws on at least this share of the source's characters stands for the whole source."""
    edge_bits: float = 5.0
    """Words are cut off a passage's edge if they speak against it with this many bits; `inf` keeps whole sentences."""
    passage_chars: int = 150
    """A shorter passage, on either side, is dropped. For short texts take 0: the bits decide."""
    passage_bits: float = 20.0
    """A passage with fewer bits is dropped."""
    verbatim_chars: int = 256
    """Common runs longer than this are passages of their own, in place of the sentences around them."""
    verbatim_gap: int = 50
    """Runs that many characters apart, on both sides, are one."""
    verbatim_alone: bool = True
    """A pair with verbatim passages has no others, as in the 2015 detector."""

    @classmethod
    def fit(cls, texts: Iterable[str], **settings: Any) -> Aligner:
        """An aligner that knows how common words are in these texts, read once; ValueError if they have none."""
        background = background_of(texts)
        if not background.keys.size:
            raise ValueError("An aligner learns from its corpus how common words are, and this one has no words.")
        return cls(background, **settings)

    def read(self, texts: Sequence[str]) -> Prepared:
        """Cut N texts into sentences and words and look the words up."""
        return prepare(texts, self.background)

    def align(self, susp: Prepared, src: Prepared, pairs: NDArray[np.integer[Any]]) -> Alignments:
        """The passages of pairs [P, 2] of a place in `susp` and a place in `src`.

        Time and memory of a pair grow with sentences times sentences; a thread may run beside others.
        """
        settings = (
            (self.prior, self.cosine, self.dice, self.passage_cosine, self.near),
            (self.gap, self.summary_gap, self.summary_ratio, self.summary_whole),
            (self.edge_bits, self.passage_chars, self.passage_bits),
            (self.verbatim_chars, self.verbatim_gap, self.verbatim_alone),
        )
        offsets, found = align_pairs(susp, src, np.ascontiguousarray(pairs, np.int64).reshape(-1, 2), settings)
        return Alignments(offsets, found[:, :4].astype(np.int64), found[:, 4].astype(np.int64), found[:, 5].copy())

    def pair(self, susp: str, src: str) -> list[Passage]:
        """The passages of one pair, in the order of the suspicious text."""
        return self.align(self.read([susp]), self.read([src]), np.zeros((1, 2), np.int64)).passages(0)
