"""Texts split into sentences and words, with the corpus frequency of each word."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.bags import Bags, bags_of
from remanence.text.sentences import sentence_spans
from remanence.text.words import words_of

MIN_WORDS = 3
"""A sentence with fewer words is joined to the next one."""

CHUNK = 4096
"""Texts read at once when fitting."""


class Background(NamedTuple):
    """How common each of V words is in a corpus; arrays only, so that it can be written anywhere."""

    keys: NDArray[np.uint64]
    """[V] ascending; see `words_of`."""
    sentences: NDArray[np.int64]
    """[V] sentences with the word."""
    words: NDArray[np.int64]
    """[V] how often it stands in the corpus."""
    num_sentences: int


class Prepared(NamedTuple):
    """N texts, cut into sentences and words once, whatever number of pairs each takes part in."""

    bags: Bags
    shares: NDArray[np.float64]
    """[E] of each posting's term: share of the corpus' sentences that have it."""
    first_words: NDArray[np.int64]
    """[S + 1] the words of sentence s of all are first_words[s]:first_words[s + 1]."""
    keys: NDArray[np.uint64]
    """[W] see `words_of`, also for the next two."""
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    rates: NDArray[np.float64]
    """[W] share of the corpus' words that are this one."""


def background_of(texts: Iterable[str]) -> Background:
    """The words of a corpus, which is read once, in order."""
    background = Background(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64), 0)
    stream = iter(texts)
    while chunk := list(islice(stream, CHUNK)):
        background = _added(background, *_cut_texts(chunk))
    return background


def prepare(texts: Sequence[str], known: Background) -> Prepared:
    """Cut N texts into sentences and words and look the words up."""
    bags, first_words, keys, starts, ends = _cut_texts(texts)
    shares = _looked_up(bags.terms, known.keys, known.sentences) / (known.num_sentences + 1)
    rates = _looked_up(keys, known.keys, known.words) / (int(known.words.sum()) + 1)
    return Prepared(bags, shares, first_words, keys, starts, ends, rates)


def _cut_texts(texts: Sequence[str]) -> tuple[Bags, NDArray[np.int64], NDArray[np.uint64], Any, Any]:
    """Bags, the first word of each sentence, and keys, starts and ends of all words."""
    words = words_of(texts)
    spans = [sentence_spans(text) for text in texts]
    flat = np.array([edge for found in spans for span in found for edge in span], np.int64).reshape(-1, 2)
    offsets = np.cumsum([0, *map(len, spans)]).astype(np.int64)
    sentence_offsets, starts, ends, first_words, places = cast(
        "tuple[Any, ...]",
        _joined(words.starts, words.offsets, offsets, flat[:, 0].copy(), flat[:, 1].copy(), MIN_WORDS),
    )
    bags = bags_of(words.keys, places, words.offsets, sentence_offsets, starts, ends)
    return bags, first_words, words.keys, words.starts, words.ends


def _added(known: Background, bags: Bags, _first: Any, keys: NDArray[np.uint64], *_: Any) -> Background:
    """The background with the counts of some texts added."""
    terms = np.unique(np.concatenate((known.keys, keys)))
    sentences, words = np.zeros(terms.size, np.int64), np.zeros(terms.size, np.int64)
    old = np.searchsorted(terms, known.keys)
    sentences[old], words[old] = known.sentences, known.words
    sentences += np.bincount(np.searchsorted(terms, bags.terms), minlength=terms.size)
    words += np.bincount(np.searchsorted(terms, keys), minlength=terms.size)
    return Background(terms, sentences, words, known.num_sentences + bags.starts.size)


def _looked_up(keys: NDArray[np.uint64], known: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count of each key [K]; 1 for one that the corpus does not have."""
    if not known.size:
        return np.ones(keys.size)
    at = np.minimum(np.searchsorted(known, keys), known.size - 1)
    return np.where(known[at] == keys, counts[at], 1).astype(np.float64)


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _joined(word_starts: Any, offsets: Any, raw_offsets: Any, raw_starts: Any, raw_ends: Any, least: int) -> Any:
    """Sentences with short ones joined to the next, a short last one to the one before; and each word's sentence."""
    starts, ends = np.empty(raw_starts.size, np.int64), np.empty(raw_starts.size, np.int64)
    first_words = np.empty(raw_starts.size + 1, np.int64)
    places = np.empty(word_starts.size, np.int64)
    sentence_offsets = np.zeros(offsets.size, np.int64)
    n = 0
    for text in range(offsets.size - 1):
        word, begin, complete = offsets[text], n, True
        for s in range(raw_offsets[text], raw_offsets[text + 1]):
            if complete:
                starts[n], first_words[n] = raw_starts[s], word
            ends[n] = raw_ends[s]
            while word < offsets[text + 1] and word_starts[word] < raw_ends[s]:
                places[word] = n - begin
                word += 1
            complete = word - first_words[n] >= least
            n += complete
        if not complete and n > begin:
            ends[n - 1] = ends[n]
            places[first_words[n] : word] -= 1
        elif not complete:
            n += 1
        sentence_offsets[text + 1] = n
    first_words[n] = word_starts.size
    return sentence_offsets, starts[:n].copy(), ends[:n].copy(), first_words[: n + 1].copy(), places
