"""Pan2015: the published detector of verbatim, paraphrase and idea plagiarism, defects included, for comparison.

Paper: Sanchez-Perez, Gelbukh, Sidorov 2015, "Adaptive Algorithm for Plagiarism Detection: The Best-Performing Approach
at PAN 2014 Text Alignment Competition", CLEF 2015; labels as in Lee et al. 2023, "Do Language Models Plagiarize?",
arXiv 2203.07618, and Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714

Written from the description of the algorithm, in its order: sentences and stems, tf-isf over the two texts only, seeds,
extension, overlap, length, verbatim runs, summaries. What the description leaves open is decided here: the words of a
verbatim run are runs of letters and digits in lower case; two qualities closer than 1e-9 are equal and the earlier
passage stays. `tests/measure/plagiarism/test_pan2015.py` holds a plain twin.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.measure.plagiarism.pan2015_kernels import compare_pairs
from remanence.stats.plagdet import Passages
from remanence.text.bags import Bags, bags_of
from remanence.text.sentences import SENTENCES, sentence_spans

Label = Literal["none", "verbatim", "idea", "paraphrase"]
LABELS: tuple[Label, ...] = ("none", "verbatim", "idea", "paraphrase")
Splitter = Literal["auto", "punkt", "remanence"]

_WORD = re.compile(r"[^\W_]+")


class Verdict(NamedTuple):
    """What the detector says of one pair."""

    label: Label
    passages: list[Passages]
    """Characters of the suspicious and of the source text; none exactly when the label is `none`."""


class Walked(NamedTuple):
    """What it says of one attempt and its ranked candidates."""

    label: Label
    candidate: int
    """Place in the ranking of the candidate that decided; -1 = none did."""
    passages: list[Passages]


class Documents(NamedTuple):
    """N texts, cut and stemmed once; `words` are those of the verbatim runs."""

    bags: Bags
    word_offsets: NDArray[np.int64]
    """[N+1]"""
    words: NDArray[np.uint64]
    word_starts: NDArray[np.int64]
    word_ends: NDArray[np.int64]
    splitter: str
    """What cut the sentences: `punkt_tab`, or the name of our own rules."""


@dataclass(frozen=True)
class Pan2015:
    """The 2015 detector; the defaults are its own settings, `Pan2015.zeng2024()` those of the memorization papers."""

    cosine: float = 0.30
    """A seed's sentences are more alike than this (th1)."""
    dice: float = 0.33
    """And share more terms than this (th2)."""
    fragment_cosine: float = 0.34
    """A passage's summed sentences are more alike than this (th3)."""
    gap: int = 4
    """Sentences that may lie between the seeds of a passage."""
    least_gap: int = 0
    """How far the gap may shrink for a passage that is not alike enough."""
    summary_gap: int = 24
    """The gap when looking for summaries; the code reads one value for both sides (D8)."""
    sentence_tokens: int = 3
    """A sentence with fewer kept tokens is joined to the next one."""
    passage_chars: int = 150
    """A passage shorter than this on either side is dropped."""
    verbatim_chars: int = 256
    """A common run longer than this makes the pair verbatim."""
    summary_ratio: float = 3.0
    """How many times longer the long side of a summary is, at least."""
    summary_test: Literal["published", "intended"] = "intended"
    """`intended`: the source is the long side (PAN). `published`: the suspicious text is, which is what Lee et al. and
    Zeng et al. ran, since they hand the two over in the wrong order (D3)."""
    splitter: Splitter = "auto"
    """`punkt`: needs nltk's punkt_tab data; `remanence`: our own rules; `auto`: the first where it is installed."""

    @classmethod
    def zeng2024(cls) -> Pan2015:
        """The limits of Zeng et al. 2024 and of Udsa et al. 2025, and their summary test."""
        return cls(passage_chars=50, verbatim_chars=50, summary_test="published")

    def read(self, texts: Sequence[str]) -> Documents:
        """Cut and stem N texts, each once, whatever number of pairs it takes part in."""
        _tools()  # says what to install
        split, name = _splitter(self.splitter)
        parsed = [_parse(text, split, self.sentence_tokens) for text in texts]
        sentences = [p[0] for p in parsed]
        bags = bags_of(
            np.array([key for _, keys, _ in parsed for sentence in keys for key in sentence], np.uint64),
            np.array([i for _, keys, _ in parsed for i, sentence in enumerate(keys) for _ in sentence], np.int64),
            _offsets(sum(map(len, keys)) for _, keys, _ in parsed),
            _offsets(map(len, sentences)),
            np.array([start for spans in sentences for start, _ in spans], np.int64),
            np.array([end for spans in sentences for _, end in spans], np.int64),
        )
        words = [word for _, _, found in parsed for word in found]
        return Documents(
            bags,
            _offsets(len(found) for _, _, found in parsed),
            np.array([word[0] for word in words], np.uint64),
            np.array([word[1] for word in words], np.int64),
            np.array([word[2] for word in words], np.int64),
            name,
        )

    def compare(self, susp: Documents, src: Documents, pairs: NDArray[np.integer[Any]]) -> list[Verdict]:
        """Verdicts on pairs [P, 2] of a place in `susp` and a place in `src`."""
        if susp.splitter != src.splitter:
            raise ValueError(f"both sides must be cut by the same rules, got {susp.splitter} and {src.splitter}")
        pairs = np.ascontiguousarray(pairs, np.int64).reshape(-1, 2)
        labels, offsets, spans = compare_pairs(
            susp[:5], src[:5], pairs, self.cosine, self.dice, self.fragment_cosine, self.gap, self.least_gap,
            self.summary_gap, self.passage_chars, self.verbatim_chars, self.summary_ratio,
            self.summary_test == "published",
        )  # fmt: skip
        rows: list[list[int]] = spans.tolist()
        return [
            Verdict(LABELS[labels[p]], [Passages(*row) for row in rows[offsets[p] : offsets[p + 1]]])
            for p in range(pairs.shape[0])
        ]

    def walk(self, susp: Documents, src: Documents, candidates: Sequence[Sequence[int]]) -> list[Walked]:
        """Label of every suspicious text: of its candidates (best first), the first with any detection decides (D7)."""
        pairs = [(i, j) for i, ranked in enumerate(candidates) for j in ranked]
        verdicts = iter(self.compare(susp, src, np.array(pairs, np.int64)))
        walked: list[Walked] = []
        for ranked in candidates:
            own = [next(verdicts) for _ in ranked]
            first = next((k for k, verdict in enumerate(own) if verdict.passages), -1)
            walked.append(
                Walked(own[first].label, first, own[first].passages) if first >= 0 else Walked("none", -1, [])
            )
        return walked


def _splitter(wanted: Splitter) -> tuple[Callable[[str], Iterable[tuple[int, int]]], str]:
    if wanted != "remanence":
        from nltk.tokenize.punkt import PunktTokenizer

        try:
            return PunktTokenizer("english").span_tokenize, "punkt_tab"
        except LookupError:
            if wanted == "punkt":
                raise ValueError(
                    "nltk has no punkt_tab data here. Run `python -m nltk.downloader punkt_tab`, "
                    'or take Pan2015(splitter="remanence").'
                ) from None
    return sentence_spans, SENTENCES


def _parse(
    text: str, split: Callable[[str], Iterable[tuple[int, int]]], least: int
) -> tuple[list[tuple[int, int]], list[list[int]], list[tuple[int, int, int]]]:
    """Sentence spans, the kept stems of each sentence, and the words of the whole text as (key, start, end)."""
    spans: list[tuple[int, int]] = []
    stems: list[list[int]] = []
    waiting: list[int] = []
    begin, length = 0, 0
    raw = list(split(text))
    for k, (start, end) in enumerate(raw):
        begin = begin if length else start
        length += end - start  # the white space between joined sentences is not counted (D8)
        waiting = waiting + [_stem(token) for token in _tokens(text[start:end].lower()) if _kept(token)]
        if len(waiting) >= least or k == len(raw) - 1:
            spans.append((begin, begin + length))
            stems.append(waiting)
            waiting, length = [], 0
    words = [(_key(match.group()), match.start(), match.end()) for match in _WORD.finditer(_lower(text))]
    return spans, stems, words


def _lower(text: str) -> str:
    """Lower case, a character for a character: the few that would become two stay."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _kept(token: str) -> bool:
    return len(token) > 2 and token[0].isalnum()


@cache
def _tools() -> tuple[Any, Any]:
    try:
        from nltk.stem.snowball import SnowballStemmer
        from nltk.tokenize.treebank import TreebankWordTokenizer
    except ImportError:
        raise ValueError("Pan2015 cuts and stems with nltk. Try `pip install remanence[pan2015]`.") from None
    return TreebankWordTokenizer(), SnowballStemmer("english")


def _tokens(sentence: str) -> list[str]:
    return _tools()[0].tokenize(sentence)


@cache
def _stem(token: str) -> int:
    return _key(_tools()[1].stem(token))


@cache
def _key(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths]).astype(np.int64)
