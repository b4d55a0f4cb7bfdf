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
from numba import njit
from numpy.typing import NDArray

from remanence.stats.plagdet import Passages
from remanence.text.bags import Bags, bags_of, cosines_of, norms_of, seeds_of, shared_terms, weigh
from remanence.text.passages import common_runs, extend, without_overlap
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
        labels, offsets, spans = _compare(
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


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _compare(
    susp: Any, src: Any, pairs: Any, th1: float, th2: float, th3: float, gap: int, least_gap: int, summary_gap: int,
    passage_chars: int, verbatim_chars: int, summary_ratio: float, swapped: bool,
) -> Any:  # fmt: skip
    """Labels [P] as places in LABELS, offsets [P+1] and spans [R, 4] of the passages."""
    labels = np.zeros(pairs.shape[0], np.int64)
    offsets = np.zeros(pairs.shape[0] + 1, np.int64)
    spans = np.empty((16, 4), np.int64)
    n = 0
    for p in range(pairs.shape[0]):
        labels[p], found = _pair(
            susp, src, pairs[p, 0], pairs[p, 1], th1, th2, th3, gap, least_gap, summary_gap, passage_chars,
            verbatim_chars, summary_ratio, swapped,
        )  # fmt: skip
        while n + found.shape[0] > spans.shape[0]:
            spans = np.concatenate((spans, np.empty_like(spans)))
        spans[n : n + found.shape[0]] = found
        n += found.shape[0]
        offsets[p + 1] = n
    return labels, offsets, spans[:n]


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _pair(
    susp: Any, src: Any, i: int, j: int, th1: float, th2: float, th3: float, gap: int, least_gap: int, summary_gap: int,
    passage_chars: int, verbatim_chars: int, summary_ratio: float, swapped: bool,
) -> Any:  # fmt: skip
    bags_a, offsets_a, words_a, word_starts_a, word_ends_a = susp
    bags_b, offsets_b, words_b, word_starts_b, word_ends_b = src
    s0, s1 = bags_a.sentence_offsets[i], bags_a.sentence_offsets[i + 1]
    t0, t1 = bags_b.sentence_offsets[j], bags_b.sentence_offsets[j + 1]
    starts_a, ends_a, sizes_a = bags_a.starts[s0:s1], bags_a.ends[s0:s1], bags_a.sizes[s0:s1]
    starts_b, ends_b, sizes_b = bags_b.starts[t0:t1], bags_b.ends[t0:t1], bags_b.sizes[t0:t1]
    p0, p1 = bags_a.posting_offsets[i], bags_a.posting_offsets[i + 1]
    q0, q1 = bags_b.posting_offsets[j], bags_b.posting_offsets[j + 1]
    terms_a, places_a = bags_a.terms[p0:p1], bags_a.places[p0:p1]
    terms_b, places_b = bags_b.terms[q0:q1], bags_b.places[q0:q1]
    num_a, num_b = s1 - s0, t1 - t0
    counts_a, counts_b = bags_a.counts[p0:p1], bags_b.counts[q0:q1]
    weights_a, weights_b = weigh(terms_a, counts_a, counts_a, terms_b, counts_b, counts_b, num_a + num_b, 0.0)
    dots, shared = shared_terms(terms_a, places_a, weights_a, num_a, terms_b, places_b, weights_b, num_b)
    cosines = cosines_of(dots, norms_of(places_a, weights_a, num_a), norms_of(places_b, weights_b, num_b))
    seeds = seeds_of(cosines, shared, sizes_a, sizes_b, th1, th2)
    nothing = np.empty((0, 4), np.int64)
    if seeds.shape[0] == 0:
        return 0, nothing

    cases = extend(seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, gap, least_gap, th3)
    narrow = _long_enough(without_overlap(cases, cosines), starts_a, ends_a, starts_b, ends_b, passage_chars)
    verbatim = nothing
    for k in range(narrow.shape[0]):
        x0, x1 = _inside(word_starts_a[offsets_a[i] : offsets_a[i + 1]], narrow[k, 0], narrow[k, 1])
        y0, y1 = _inside(word_starts_b[offsets_b[j] : offsets_b[j + 1]], narrow[k, 2], narrow[k, 3])
        x0, x1, y0, y1 = x0 + offsets_a[i], x1 + offsets_a[i], y0 + offsets_b[j], y1 + offsets_b[j]
        runs = common_runs(
            words_a[x0:x1], word_starts_a[x0:x1], word_ends_a[x0:x1],
            words_b[y0:y1], word_starts_b[y0:y1], word_ends_b[y0:y1], verbatim_chars,
        )  # fmt: skip
        verbatim = np.concatenate((verbatim, runs))
    if verbatim.shape[0]:
        return 1, verbatim

    cases = extend(seeds, dots, terms_a, places_a, weights_a, terms_b, places_b, weights_b, summary_gap, least_gap, th3)
    wide = _long_enough(without_overlap(cases, cosines), starts_a, ends_a, starts_b, ends_b, passage_chars)
    length_a, length_b = 0, 0
    for k in range(wide.shape[0]):
        length_a, length_b = length_a + wide[k, 1] - wide[k, 0], length_b + wide[k, 3] - wide[k, 2]
    short, long = (length_b, length_a) if swapped else (length_a, length_b)
    if wide.shape[0] and long >= summary_ratio * short:
        return 2, wide
    return (3 if narrow.shape[0] else 0), narrow


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _long_enough(cases: Any, starts_a: Any, ends_a: Any, starts_b: Any, ends_b: Any, least: int) -> Any:
    """The cases as character spans [R, 4], without those shorter than `least` on either side."""
    spans = np.empty_like(cases)
    n = 0
    for k in range(cases.shape[0]):
        spans[n, 0], spans[n, 1] = starts_a[cases[k, 0]], ends_a[cases[k, 1]]
        spans[n, 2], spans[n, 3] = starts_b[cases[k, 2]], ends_b[cases[k, 3]]
        if spans[n, 1] - spans[n, 0] >= least and spans[n, 3] - spans[n, 2] >= least:
            n += 1
    return spans[:n].copy()


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _inside(starts: Any, low: int, high: int) -> Any:
    """First and last + 1 of the words that begin in the characters [low, high)."""
    return np.searchsorted(starts, low), np.searchsorted(starts, high)
